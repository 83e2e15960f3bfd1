// Types shared by the modules of the page, for tsc.

/** As the server has it; see the README. */
interface Message {
  text: string;
  /** In unix milliseconds. */
  timestamp: number;
  /** Empty while it is not stored. */
  id: string;
  room?: string;
  name?: string;
  nonce?: string;
  /** When the text last changed, in unix milliseconds. */
  edited?: number;
}

/** What is new in a message. */
interface Change {
  id: string;
  text?: string;
  /** Added to the text, whose length was `at`. */
  append?: string;
  at?: number;
  edited?: number;
}

/** What the stream tells of the shown room. */
interface Arrival {
  /** `message`, `change` or `delete`. */
  type: string;
  /** A Message, a Change, or what is deleted: `id`, or all `through` an id. */
  data: any;
}

/** Messages of a room, oldest first. */
interface Page {
  messages: Message[];
  /** There are further ones in the direction asked. */
  more: boolean;
}

/** A message on its way to the server. */
interface Draft {
  room: string;
  text: string;
  name: string;
  nonce: string;
  /** When it was written, or last tried again by the reader. */
  at: number;
  /** The tab that sends it, '' if it is gone. */
  tab: string;
  /** Why it is not sent again by itself. */
  error?: string;
  /** When it may first have reached the server. */
  tried?: number;
}

/** Who is in a room. */
interface Presence {
  room: string;
  /** Of people. */
  count: number;
  /** Missing if they are not told this time, or nobody has one. */
  names?: string[];
  /** How many of them have no name. */
  unnamed: number;
}

/** Who the server says the reader is. */
interface You {
  name?: string;
}

/** How the stream is: absent, login, refused and removed are said by the server. */
type State = 'connecting' | 'live' | 'waiting' | 'offline' | 'absent' | 'login' | 'refused' | 'removed';
