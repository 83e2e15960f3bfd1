// One stream for all tabs of a browser. Over HTTP/1.1 a browser opens six
// connections to a site, for all tabs together; streams would soon use them up.
//
// The tab that holds a Web Lock leads: it has the stream and forwards events. When
// it closes, another tab gets the lock and resumes; when it is silent, another tab
// steals the lock. If a browser forbids locks or channels, as it does without site
// data, each tab is alone.

import { Connection, EVENTS } from './connection.js';
import { Source } from './dom.js';
import { compare } from './history.js';
import { withNames } from './people.js';
import { attempt, PLACE } from './remember.js';
import { learnTime } from './words.js';

const NAME = `${PLACE}stream`;

/** Like a Connection; also emits `missed` if it has missed events. */
export class SharedConnection extends Source {
  #id = Math.random();
  /** @type {BroadcastChannel|undefined} unset where a tab is alone */
  #channel = attempt(() => new BroadcastChannel(NAME));
  /** @type {Connection|undefined} set while it leads */
  #own;
  /** The rooms of the others, while it leads. @type {Map<number, string[]>} */
  #others = new Map();
  /** @type {Map<string, Presence>} */
  #presence = new Map();
  #heardAt = Date.now();
  #asked = false; // since then
  #ping = 15_000;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #watch;
  #release = () => {};

  /** @type {State} */
  state = 'connecting';
  retryAt = 0;
  cursor = '';
  /** @type {You|undefined} */
  you;
  /** @type {Map<string, State>} */
  barred = new Map();

  /** @param {() => {rooms: string[], name: string}} wish */
  constructor(wish) {
    super();
    this.wish = wish;
    if (this.#channel) this.#channel.onmessage = ({ data }) => (this.#own ? this.#lead(data) : this.#follow(data));
    addEventListener('pagehide', () => {
      this.#tell({ kind: 'leave' });
      this.#step(); // a held lock would keep the page out of the back-forward cache
    });
    addEventListener('pageshow', (event) => {
      if (event.persisted) this.start();
    });
    for (const type of ['visibilitychange', 'resume']) document.addEventListener(type, () => this.#listen());
  }

  start() {
    this.#queue({});
    this.#join(true);
    clearInterval(this.#watch);
    this.#watch = setInterval(() => this.#listen(), 5000);
  }

  reopen() {
    if (this.#own) this.#own.reopen();
    else this.#join();
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
      if (!this.#channel) throw new Error('alone');
      await navigator.locks.request(NAME, options.steal ? options : { signal: control.signal }, () => new Promise((resolve) => {
        had = true;
        this.#release = () => resolve(undefined);
        this.#open();
      }));
    } catch {
      if (control.signal.aborted) return;
      if (had) { // lost it
        this.#step();
        this.start();
      } else {
        this.#part();
      }
    }
  }

  /** Goes on alone. */
  #part() {
    this.#channel?.close();
    this.#channel = undefined;
    if (!this.#own) this.#open();
  }

  /** Leaves the queue or the lead. */
  #step() {
    this.#own?.stop();
    this.#own = undefined;
    this.#release();
  }

  #open() {
    const own = new Connection(() => {
      const { rooms, name } = this.wish();
      return { rooms: [...new Set([rooms, ...this.#others.values()].flat())].slice(0, 100), name };
    });
    this.#own = own;
    this.#others.clear();
    own.cursor = this.cursor;
    for (const type of ['message', ...EVENTS]) {
      own.on(type, (data) => {
        this.#pass(type, data, own.cursor);
        this.#tell({ kind: 'event', type, data, cursor: own.cursor });
      });
    }
    own.on('barred', () => {
      this.#bar(own.barred);
      this.#tellState();
    });
    own.on('state', (state) => {
      this.#become(state, own.retryAt);
      this.#tellState();
    });
    own.start();
    this.#tell({ kind: 'who' });
  }

  /** @param {string} type @param {any} data */
  #pass(type, data, cursor = this.cursor) {
    // from a former leader; one without an id has the last one's
    const isNewer = compare(cursor, this.cursor);
    if (isNewer < 0 ? /message|change|delete/.test(type) : !isNewer && type === 'message') return;
    if (type === 'hello') {
      learnTime(data.now);
      this.#ping = data.ping_ms;
      this.you = data.you;
    }
    // with the names, for later tabs
    if (type === 'presence') this.#presence.set(data.room, withNames(data, this.#presence.get(data.room)));
    if (isNewer > 0) this.cursor = cursor;
    this.emit(type, data);
  }

  /** @param {object} what */
  #tell(what) {
    try {
      this.#channel?.postMessage({ from: this.#id, ...what });
    } catch {
      this.#part();
    }
  }

  #tellState() {
    const { state, retryAt, cursor, wish, you, barred } = /** @type {Connection} */ (this.#own);
    this.#tell({ kind: 'state', state, retryAt, cursor, you, barred, rooms: wish().rooms, ping: this.#ping, presence: [...this.#presence.values()] });
  }

  /** @param {boolean} [isNew] */
  #join(isNew) {
    this.#tell({ kind: 'join', rooms: this.wish().rooms, isNew });
  }

  /** @param {{kind: string, from: number, rooms: string[], isNew?: boolean}} told */
  #lead({ kind, from, rooms, isNew }) {
    if (kind === 'join') {
      const had = this.#own?.wish().rooms;
      this.#others.set(from, rooms);
      // a reloaded page may come from a login
      if (isNew && (this.#own?.barred.size || /login|refused/.test(this.state))) this.#own?.retry();
      else if (rooms.every((room) => had?.includes(room))) this.#tellState();
      else this.#own?.reopen();
    }
    if (kind === 'leave') this.#others.delete(from);
    if (kind === 'retry') this.#own?.retry();
  }

  /** @param {any} told */
  #follow({ kind, type, data, cursor, ...told }) {
    if (kind === 'who') this.#join();
    if (kind !== 'event' && kind !== 'state') return;
    // only events prove that it is live
    if (kind === 'event' || told.state !== 'live') {
      this.#heardAt = Date.now();
      this.#asked = false;
    }
    if (kind === 'event') {
      this.#pass(type, data, cursor);
      return;
    }
    this.#ping = told.ping;
    this.you = told.you;
    this.#bar(told.barred);
    const isCovered = this.wish().rooms.every((room) => told.rooms.includes(room));
    if (!isCovered) this.#join();
    for (const presence of told.presence) this.#pass('presence', presence);
    if (compare(this.cursor, cursor) < 0) {
      this.cursor = cursor;
      this.emit('missed');
    }
    this.#become(isCovered || told.state !== 'live' ? told.state : 'connecting', told.retryAt);
  }

  /** @param {Map<string, State>} barred */
  #bar(barred) {
    if (!barred.size && !this.barred.size) return;
    this.barred = barred;
    this.emit('barred');
  }

  /** @param {State} state @param {number} retryAt */
  #become(state, retryAt) {
    this.retryAt = retryAt;
    if (state === this.state && state !== 'waiting') return;
    this.state = state;
    this.emit('state', state);
  }

  /** Asks a silent leader, and replaces it if it does not answer. */
  #listen() {
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
