// Types of sse-chat.js. docs/client.md is its manual.

/** A message as the server has it. */
export interface Message {
  text: string;
  /** When it was stored, in unix milliseconds. */
  timestamp: number;
  id: string;
  /** Missing in the lobby. */
  room?: string;
  name?: string;
  nonce?: string;
  /** The tag of the key it was sent with. */
  author?: string;
  /** The name of its event, if it has one. */
  event?: string;
  /** Any JSON that was sent with it. */
  data?: any;
  /** The id of another message. */
  reply_to?: string;
  /** When the text or data last changed, in unix milliseconds. */
  edited?: number;
  reactions?: Record<string, Reaction>;
}

export interface Reaction {
  count: number;
  /** The first 20, by name, else by the tag of their key. */
  by: string[];
}

/** What is new in a message. */
export interface Change extends Partial<Pick<Message, 'text' | 'data' | 'edited' | 'reactions' | 'room'>> {
  id: string;
  /** Added to the text, whose length was `at`. */
  append?: string;
  at?: number;
}

/** A message that is gone, or all of a room up to one. */
export type Deletion = { id: string; room?: string; through?: undefined } | { id?: undefined; room?: string; through: string };

/** Who is in a room. */
export interface Presence {
  room: string;
  /** Of people. */
  count: number;
  /** Of at most 100 of them. */
  names?: string[];
  /** How many have no name. */
  unnamed: number;
}

/** Who the server says the reader is. */
export interface You {
  name?: string;
  /** May change the messages of others. */
  moderate?: boolean;
}

/**
 * - `connecting`, `live`
 * - `waiting`: until `retryAt`, to connect again
 * - `offline`: the same, and the browser says that it has no network
 * - `full`: the server has no room for the reader, who connects again at `retryAt`
 * - `login`: the server wants a login; it is asked again now and then
 * - `refused`: the server does not let the reader in; it is asked again now and then
 * - `absent`: there is no chat at this address; it is asked again now and then
 * - `removed`: the reader was kicked; it is not asked again before `retry()`
 * - `closed`: by `close()`, or there are no rooms
 */
export type State = 'connecting' | 'live' | 'waiting' | 'offline' | 'full' | 'login' | 'refused' | 'absent' | 'removed' | 'closed';

export interface ChatOptions {
  /** Where the chat is: the endpoints are appended. Relative to the page; '' by default. In Node it is needed, such as `https://chat.example.com/`. */
  url?: string;
  /** The lobby by default. */
  rooms?: string[];
  /** The reader's name, for presence and messages. */
  name?: string;
  /** The tag of the reader's key, for presence. */
  author?: string;
  /** A secret of the reader, 22 to 128 of `[A-Za-z0-9_-]`: its holder may change what was sent with it. Not used where the server names the reader, or answers it with 401. */
  authorKey?: string;
  /** How many of the newest messages come first, if there is no `after`; 0 by default. */
  last?: number;
  /** The `cursor` of an earlier chat, to go on from there. */
  after?: string;
  /** How many messages `messages` keeps; 500 by default, and none with 0. */
  keep?: number;
  /** Whether all tabs of a browser share a stream; with 'http1' only if the page came over HTTP/1.1, where a browser has six connections for all tabs. */
  shareTabs?: boolean | 'http1';
  /** For all requests, such as `{ headers: { Authorization: 'Bearer …' } }` or `{ credentials: 'include' }`. */
  request?: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> };
}

export interface Sending {
  /** The first room of the chat by default. */
  room?: string;
  /** Makes repeats one message; random by default. */
  nonce?: string;
  /** Gives up. */
  signal?: AbortSignal;
  /** When it may first have reached the server, in unix milliseconds, if it is sent again after a reload. */
  since?: number;
  /** Called with that time before it may reach the server; with 0 if it surely did not. */
  onattempt?: (since: number) => void;
  /** Called when the server wants to be left alone, with the time in unix milliseconds until which it is. */
  onwait?: (until: number) => void;
  /** A login is needed. It is sent again now and then, and at `retry()`. Without this function, it fails. */
  onlogin?: (error: ChatError) => void;
}

/** Why something was not sent, or no history received. What its `signal` or `close()` gives up fails with the reason of the signal instead, by default a DOMException named `AbortError`. */
export interface ChatError extends Error {
  /** `unsure`: it could not be sent for 9 minutes, after which a repeat might be a second message. */
  code: 'login' | 'refused' | 'unsure';
  /** Of the answer; 0 if there is none that scripts may see. */
  status: number;
  /** In milliseconds. */
  retryAfter: number;
}

/** The message as it is stored, or `deleted` if it was deleted before a repeat. */
export type Answer = (Message & { deleted?: undefined }) | { id: string; deleted: true; text?: undefined };

/** Messages of a room, oldest first. */
export interface Page {
  messages: Message[];
  /** There are further ones in the direction asked. */
  more: boolean;
}

/** The data of the events. Messages with an event name come under that name. */
export interface ChatEvents {
  message: Message;
  change: Change;
  delete: Deletion;
  /** Some messages before the next one are missing. */
  gap: { reason: 'expired' | 'unknown' | 'slow' | 'rollback'; oldest: string };
  hello: { rooms: string[]; now: number; latest: string; oldest: string; ping_ms: number; resumed: boolean; you?: You };
  /** All that was missed has come. */
  live: { latest: string };
  presence: Presence;
  /** `author` is the tag of the sender's key. */
  signal: { room: string; name?: string; author?: string; signal: string };
  ping: { now: number };
  bye: { reason: string; retry_ms: number };
  /** The new `state`; also emitted when `refused` changes. */
  statechange: State;
}

export interface ChatMembers {
  readonly rooms: string[];
  readonly name: string;
  readonly author: string;
  readonly last: number;
  readonly state: State;
  /** When it connects again, in unix milliseconds. */
  readonly retryAt: number;
  /** The id of the last message or change received. */
  readonly cursor: string;
  /** Who the server says the reader is. */
  readonly you: You | undefined;
  /** The rooms that refuse the reader while others do not. */
  readonly refused: ReadonlyMap<string, State>;
  /** Who is there, by room. */
  readonly presence: ReadonlyMap<string, Presence>;
  /** The newest messages of all rooms, by id, as they are now. Each change makes a new array. */
  readonly messages: Message[];

  /** Reads other rooms, or under another name. */
  subscribe(wish?: { rooms?: string[]; name?: string }): void;
  /** Connects and sends at once, without waiting. */
  retry(): void;
  /** Ends the stream, and gives up what is being sent. */
  close(): void;

  /** Sends a message, again and again until it is stored or refused. `deleted` if it was deleted before a repeat. */
  send(message: Partial<Pick<Message, 'text' | 'name' | 'event' | 'data' | 'reply_to'>>, sending?: Sending): Promise<Answer>;
  /** Changes a message in the same way. */
  change(id: string, change: { text?: string; data?: any } | { append: string } | { react: string } | { unreact: string }, sending?: Sending): Promise<Answer>;
  /** Takes a message back in the same way. */
  remove(id: string, sending?: Sending): Promise<{ id: string }>;
  /** Tells those who are there something that is not kept, such as `typing`, at best effort. */
  signal(signal?: string, room?: string): Promise<void>;
  /** Fetches a page of the history: the newest, or what is before or after an id. */
  history(query?: { room?: string; before?: string; after?: string; limit?: number }): Promise<Page>;
}

export interface Chat extends ChatMembers {}

export class Chat extends EventTarget {
  constructor(options?: ChatOptions);

  addEventListener<K extends keyof ChatEvents>(type: K, listener: (event: MessageEvent<ChatEvents[K]>) => void, options?: boolean | AddEventListenerOptions): void;
  /** A message that was published with an event name. */
  addEventListener(type: string, listener: (event: MessageEvent<Message>) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof ChatEvents>(type: K, listener: (event: MessageEvent<ChatEvents[K]>) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: (event: MessageEvent<Message>) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** Takes events. @internal */
export type Sink = (type: string, data: any, id?: string) => void;
/** Returns the message with a change, itself if it has a later one already, or undefined if a change before it is missing. @internal */
export type ApplyChange = (message: Message, change: Change) => Message | undefined;
/** Returns where the events of a chat go, which sets its messages before it emits them. @internal */
export type Listing = (chat: ChatMembers & { messages: Message[] }, most: number, emit: Sink) => Sink;
/** Sends something until it is stored or refused. `waits` emits `live` when waiting makes no sense any more. @internal */
export type Deliver = (post: (init: RequestInit) => Promise<any>, waits: EventTarget, until: AbortSignal, sending: Sending) => Promise<any>;
/** Tells why there is no stream, which rooms refuse if others do not, and the delay. If the chat `wasThere` before, an answer that is no stream comes from a login page or a captive portal. @internal */
export type Explain = (answer: Response, wasThere: boolean, rooms: string[], ask: (room: string) => Promise<Response>) => Promise<[State | undefined, [string, State][], number]>;
/** @internal */
export type Ask = (path: string, query: string[][], init: RequestInit, key?: string) => Promise<Response>;
/** @internal */
export type Listen = (target: typeof globalThis | Document, listeners: Record<string, (event: any) => unknown>) => void;
/** @internal */
export interface Transport {
  open(): void;
  close(): void;
  retry(): void;
  check(): void;
}

/** @internal */
export function wantsLogin(answer: Response): boolean;
/** @internal */
export function isStream(answer: Response): boolean;

/** Compares two ids: negative if the first is older. The empty one is the oldest. */
export function compareIds(a: string, b: string): number;

/** The room of messages that have none. */
export const LOBBY: string;
