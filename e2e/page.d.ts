// Types shared by the modules of the page, for tsc.

type Message = import('../public/sse-chat.js').Message;
type Page = import('../public/sse-chat.js').Page;
type State = import('../public/sse-chat.js').State;
type Special = typeof import('../public/special.js');
type Composer = typeof import('../public/composer.js');
type Panels = typeof import('../public/panels.js');
type Menu = import('../public/menu.js').Menu;
type Query = { before?: string; after?: string; limit?: number };
type Timer = ReturnType<typeof setTimeout> | undefined;
type People = import('../public/rooms.js').People;
type Reader = import('../public/rows.js').Reader;
type Rooms = import('../public/rooms.js').Rooms;
type Row = import('../public/rows.js').Row;
type Rows = import('../public/rows.js').Rows;
type Timeline = import('../public/timeline.js').Timeline;
type Writing = import('../public/outbox.js').Writing;

type NewDraft = Partial<Draft> & { room: string };

/** The elements of index.html that are more than an HTMLElement, by id. */
interface Parts {
  'ask-name': HTMLInputElement;
  'go-to': HTMLInputElement;
  'good-room': HTMLAnchorElement;
  go: HTMLFormElement;
  icon: HTMLLinkElement;
  name: HTMLInputElement;
  notify: HTMLInputElement;
  send: HTMLButtonElement;
  sound: HTMLInputElement;
  text: HTMLTextAreaElement;
}

/** Finds an element of index.html. */
type Find = <Id extends string>(id: Id) => Id extends keyof Parts ? Parts[Id] : HTMLElement;

/** Builds an element. */
type Make = <Tag extends keyof HTMLElementTagNameMap>(tag: Tag, properties?: Record<string, any>, ...children: (Node | string)[]) => HTMLElementTagNameMap[Tag];
type MakeButton = (text: string, onclick: (() => unknown) | null, properties?: Record<string, any>) => HTMLButtonElement;

/** Values in a storage, each under a key. */
interface Memory {
  /** Returns `otherwise` if the value does not fit. */
  get<T>(key: string, otherwise: T, fits?: (value: any) => boolean): T;
  /** The elements of an array that fit. */
  list(key: string, fits: (value: any) => boolean): any[];
  /** Without a value, removes it. */
  set(key: string, value?: unknown): void;
  keys(prefix: string): string[];
}

/** Applies changes and deletions; those that a row knows already do nothing. Fetches again where a change before one is missing. */
type ApplyArrivals = (rows: Rows, arrivals: Arrival[], applyChange: import('../public/sse-chat.js').ApplyChange, fetchAgain: (id: string) => Promise<unknown>) => void;

/** Fetches the messages from one id to another, and returns what makes rows the same. If nothing older is left, an expired message looks like a deleted one; `keeps` takes it for expired. */
type FetchRange = (room: string, from: string, to: string, keeps: boolean) => Promise<((rows: Rows, add: (message: Message) => void) => void) | null>;

/** Shows and marks a message. Resolves to whether it exists; undefined if the server does not answer, or the reader has gone elsewhere. */
type GoTo = (timeline: Timeline, id: string) => Promise<boolean | undefined>;

/** Edits a message in place, starting from its text or another. */
type Edit = (row: Row, save: (text: string) => void, text?: string) => void;

/** Shows the state of a draft at its row, with a button for each choice. Returns the element with the state, or null. */
type Tell = (row: Row, state: '' | 'pending' | 'failed', text?: string, choices?: Record<string, () => void>) => Element | null;

/** Copies a text, also over plain HTTP, where pages have no clipboard API. Passes a confirmation to `tell`, or the text if it could not be copied. */
type Copy = (text: string, tell: (text: string) => void) => Promise<void>;

/** Counts what has come while the page was closed, in rooms with the id of the last read message. */
type CountUnread = (visited: [string, string][], unread: Map<string, number>) => Promise<void>;

/** Loads more while the reader is near an end. */
type Nearing = (end: 'top' | 'bottom', hasMore: () => boolean, load: () => Promise<boolean>) => void;

/** Messages or the reader's place have changed. `isWhole`: the rows reach from `oldest` to the newest message of the room. */
type Look = (newest: string, isWhole: boolean, oldest: string) => void;

/** Shows a name, or `otherwise` if it has no visible character. The colour is derived from the seed. */
type NameTag = (name: string, otherwise?: string, seed?: string) => HTMLElement;

/** How a message will look, and how the state of its changes is shown. */
interface Preview {
  changed(message: Message): Message;
  tell(row: Row): void;
}

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
