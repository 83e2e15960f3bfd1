// One stream for all tabs. Over HTTP/1.1 a browser opens six connections to a site, for
// all tabs together; streams would soon use them up. sse-chat.js loads this file for the
// option shareTabs.
//
// The tab that holds a Web Lock leads: it has the stream and forwards events. When it
// closes, another tab gets the lock and resumes; when it is silent, another tab steals
// the lock. If a browser forbids locks or channels, as it does without site data, each
// tab is alone.

import { Chat, compareIds, LOBBY } from './sse-chat.js';

/** @import { ChatMembers, ChatOptions, Sink, You } from './sse-chat.js' */
/** @typedef {[type: string, data: any, id: string, after: string, rooms: string[]]} Told what the leader read after a cursor, in which rooms */

const MOST_ROOMS = 100; // of a stream; a tab whose rooms are too many beside the others' goes on alone
const MOST_HELD = 2000;

/** All that has no room. */
const general = /^(hello|start|live|ping|gap|bye)$/;

/** A stream of its own, all of whose events go elsewhere. */
class Stream extends Chat {
  /** @type {Sink|undefined} */
  sink;

  /** @param {Event} event */
  dispatchEvent(event) {
    const { type, data, lastEventId } = /** @type {MessageEvent} */ (event);
    this.sink?.(type, type === 'statechange' ? this : data, lastEventId);
    return true;
  }
}

export class SharedStream {
  #id = Math.random();
  #heardAt = 0;
  #asked = false; // since then
  #ping = 15_000;
  /** @type {BroadcastChannel|undefined} */
  #channel;
  /** @type {Stream|undefined} set while it leads */
  #own;
  /** The rooms of the others, while it leads. @type {Map<number, string[]>} */
  #others = new Map();
  /** What the leader sent before this tab followed. @type {Stream|undefined} */
  #missed;
  /** @type {Told[]|undefined} what it sends in the meantime */
  #held;
  #met = ''; // the leader's cursor with which this tab has caught up
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #watch;
  #rewound = false; // what follows a gap may be older than the cursor
  #release = () => {};

  /** @param {ChatMembers & {you: You|undefined, cursor: string}} chat @param {ChatOptions} options @param {Sink} sink */
  constructor(chat, options, sink) {
    this.chat = chat;
    this.options = options;
    this.sink = sink;
    this.name = `sse-chat ${new URL('.', new URL(options.url ?? '', globalThis.document?.baseURI))} stream`;
  }

  /** What the chat wants may have changed. */
  open() {
    if (this.#own) {
      this.#own.subscribe({ rooms: this.#rooms, name: this.chat.name });
    } else if (this.#channel) {
      if (this.#held) this.#missed?.subscribe({ rooms: this.chat.rooms });
      this.#join();
    } else {
      this.#heardAt = Date.now();
      this.#queue({});
      this.#join(true);
      this.#watch = setInterval(() => this.check(), 5000);
    }
  }

  /** A held lock or an open channel keeps a page out of the back-forward cache. */
  close() {
    this.#tell({ kind: 'leave' });
    this.#step();
    this.#hangUp();
  }

  retry() {
    if (this.#own) this.#own.retry();
    else this.#tell({ kind: 'retry' });
  }

  /** @param {{steal?: boolean}} options */
  async #queue(options) {
    const control = new AbortController();
    this.#release = () => control.abort();
    let had = false;
    try {
      this.#channel ??= new BroadcastChannel(this.name);
      this.#channel.onmessage = ({ data }) => (this.#own ? this.#lead(data) : this.#follow(data));
      await navigator.locks.request(this.name, options.steal ? options : { signal: control.signal }, () => control.signal.aborted || new Promise((resolve) => { // granted while it closes
        had = true;
        this.#release = () => resolve(undefined);
        this.#begin();
      }));
    } catch {
      if (control.signal.aborted) return;
      if (had) { // lost it
        this.#step();
        this.#hangUp();
        this.open();
      } else {
        this.#part();
      }
    }
  }

  /** Leaves the queue or the lead. */
  #step() {
    for (const stream of [this.#own, this.#missed]) {
      if (stream) stream.sink = undefined; // the others' state is not closed
      stream?.close();
    }
    this.#own = this.#held = undefined;
    this.#release();
  }

  #hangUp() {
    clearInterval(this.#watch);
    this.#channel?.close();
    this.#channel = undefined;
  }

  #begin() {
    this.#missed?.close();
    this.#held = undefined;
    this.#others.clear();
    let after = this.chat.cursor;
    const own = this.#own = this.#connect((type, data, id) => {
      if (type === 'hello') this.#ping = data.ping_ms;
      this.#give(type, data, id);
      if (type === 'statechange') this.#tellState();
      else this.#tell({ kind: 'event', type, data, id, after, rooms: own.rooms });
      after = id || after;
    });
    this.#tell({ kind: 'who' });
  }

  /** @param {Sink} sink */
  #connect(sink) {
    const { rooms, name, cursor } = this.chat;
    const stream = new Stream({ ...this.options, rooms, name, after: cursor, keep: 0, shareTabs: false });
    stream.sink = sink;
    return stream;
  }

  /** Of all tabs. */
  get #rooms() {
    return [...new Set([this.chat.rooms, ...this.#others.values()].flat())];
  }

  /** @param {object} what */
  #tell(what) {
    try {
      this.#channel?.postMessage({ from: this.#id, ...what });
    } catch {
      this.#part();
    }
  }

  /** Goes on alone. */
  #part() {
    this.#hangUp();
    if (!this.#own) this.#begin();
  }

  #tellState() {
    if (!this.#own) return;
    const { state, retryAt, cursor, you, refused, rooms, presence } = this.#own;
    this.#tell({ kind: 'state', state, retryAt, cursor, you, refused, rooms, ping: this.#ping, presence: [...presence.values()] });
  }

  /** @param {boolean} [isNew] */
  #join(isNew) {
    this.#tell({ kind: 'join', rooms: this.chat.rooms, isNew });
  }

  /** @param {{kind: string, from: number, rooms: string[], isNew?: boolean}} told */
  #lead({ kind, from, rooms, isNew }) {
    const own = this.#own;
    if (kind === 'join' && own) {
      this.#others.set(from, rooms);
      if (this.#rooms.length > MOST_ROOMS) {
        this.#others.delete(from);
        this.#tell({ kind: 'full', to: from });
        return;
      }
      // a reloaded page may come from a login
      if (isNew && (own.refused.size || /login|refused/.test(own.state))) own.retry();
      else if (rooms.every((room) => own.rooms.includes(room))) this.#tellState();
      else this.open();
    }
    if (kind === 'leave') this.#others.delete(from);
    if (kind === 'retry') own?.retry();
  }

  /** @param {any} told */
  #follow({ kind, type, data, id, after, cursor, rooms = [], ping, presence, you, ...told }) {
    if (kind === 'who') this.#join();
    if (kind === 'full' && told.to === this.#id) {
      this.#step();
      this.#part();
    }
    if (kind !== 'event' && kind !== 'state') return;
    // only events prove that it is live
    if (kind === 'event' || told.state !== 'live') {
      this.#heardAt = Date.now();
      this.#asked = false;
    }
    if (kind === 'event') {
      this.#take(type, data, id, after, rooms);
      return;
    }
    const { chat } = this;
    this.#ping = ping;
    chat.you = you;
    for (const there of presence) this.#give('presence', there);
    const isLive = told.state === 'live';
    if (!this.#isIn(rooms)) this.#join();
    else if (isLive && (chat.state !== 'live' || this.#isBehind(cursor))) this.#take('live', { latest: cursor }, '', cursor, rooms);
    const { state } = chat;
    this.#give('statechange', { ...told, state: isLive && state !== 'live' ? 'connecting' : told.state });
  }

  /** Whether the leader reads all rooms of this tab. @param {string[]} rooms */
  #isIn(rooms) {
    return this.chat.rooms.every((room) => rooms.includes(room));
  }

  /** Whether the leader has read what this tab has not. @param {string} after */
  #isBehind(after) {
    return after !== this.#met && compareIds(this.chat.cursor, after) < 0;
  }

  /** Events between which there are others of this tab's rooms must not move its cursor. @param {Told} event */
  #take(...event) {
    const [type, data, id, after, rooms] = event;
    const { chat } = this;
    const isIn = this.#isIn(rooms);
    const isEarly = Boolean(isIn && id && !chat.cursor && chat.state !== 'live'); // the last that the leader wants
    if (isIn && !this.#held && !this.#rewound && (isEarly || this.#isBehind(after))) {
      if (chat.cursor || chat.last) this.#catchUp(after);
      else if (!isEarly) this.sink('start', after, after);
    }
    if (this.#held) {
      if (this.#held.length >= MOST_HELD) this.#held.length = 0; // the stream that catches up has them
      if (type !== 'live') this.#held.push(event);
    } else if (isIn ? !isEarly : /^(presence|signal|ping)$/.test(type)) {
      this.#pass(type, data, id);
    }
  }

  /** Unless it is from a tab that led before, or was missed and fetched. @type {Sink} */
  #pass(type, data, id) {
    if (id && !this.#rewound && compareIds(id, this.chat.cursor) <= 0) return;
    if (id || type === 'gap') this.#rewound = type === 'gap';
    this.#give(type, data, id);
  }

  /** What is in other tabs' rooms only moves the cursor. @type {Sink} */
  #give(type, data, id) {
    const { chat } = this;
    if (type === 'statechange') {
      const { state, retryAt, refused } = data;
      this.sink(type, { state, retryAt, refused: new Map([...refused].filter(([room]) => chat.rooms.includes(room))) });
    } else if (general.test(type) || chat.rooms.includes(data.room ?? LOBBY)) {
      this.sink(type, data, id);
    } else if (id) {
      chat.cursor = id;
    }
  }

  /** Asks the server for what it has missed. @param {string} after */
  #catchUp(after) {
    /** @type {Told[]} */
    const held = this.#held = [];
    const stream = this.#missed = this.#connect((type, data, id) => {
      if (type !== 'statechange') this.#give(type, data, id);
      if (type !== 'live' || this.#held !== held) return;
      stream.sink = undefined;
      stream.close();
      this.#held = undefined;
      this.#met = after;
      for (const event of held) this.#take(...event);
    });
  }

  /** Asks a silent leader, and replaces it if it does not answer. */
  check() {
    const now = Date.now();
    if (this.#own || now - this.#heardAt < 1.2 * this.#ping) return;
    if (!this.#asked) {
      this.#asked = true;
      // maybe this tab was asleep, not the leader
      this.#heardAt = Math.max(this.#heardAt, now - 1.4 * this.#ping);
      this.#join();
    } else if (now - this.#heardAt > 2.5 * this.#ping) {
      this.#step();
      this.#queue({ steal: true });
    }
  }
}
