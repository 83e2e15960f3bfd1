// Types shared by the modules of the page, for tsc.

type Message = import('../public/sse-chat.js').Message;
type Page = import('../public/sse-chat.js').Page;
type State = import('../public/sse-chat.js').State;
type People = import('../public/rooms.js').People;
type Reader = import('../public/rows.js').Reader;
type Rooms = import('../public/rooms.js').Rooms;
type Row = import('../public/rows.js').Row;
type Rows = import('../public/rows.js').Rows;
type Timeline = import('../public/timeline.js').Timeline;
type Writing = import('../public/outbox.js').Writing;

/** What the stream tells of the shown room. */
interface Arrival {
  /** `message`, `change` or `delete`. */
  type: string;
  /** A Message, a Change, or what is deleted: `id`, or all `through` an id. */
  data: any;
}

/** A message, or a change of one, on its way to the server. */
interface Draft {
  room: string;
  text?: string;
  name?: string;
  reply_to?: string;
  nonce: string;
  /** The message that is changed. */
  id?: string;
  /** null deletes it. */
  change?: { text?: string; react?: string; unreact?: string } | null;
  /** It was deleted, and not taken back. */
  isDone?: boolean;
  /** Before this it can be taken back. */
  due?: number;
  /** When it was written, or last tried again by the reader. */
  at: number;
  /** The tab that sends it, '' if it is gone. */
  tab: string;
  /** Why it is not sent again by itself. */
  error?: string;
  /** What the server has said, if it would refuse it again. */
  refused?: string;
  /** Until when the server does not want it. */
  waits?: number;
  /** When it may first have reached the server. */
  tried?: number;
}
