// One stream for all tabs of a browser. Over HTTP/1.1 a browser opens six
// connections to a site and no more, for all tabs together; streams would soon
// use them up, and then nothing could be sent.
//
// The tab that holds a Web Lock leads: it has the stream and passes on what
// comes. When it closes, the browser gives the lock to another tab, which
// resumes where it was.

import { learnTime } from './clock.js';
import { Connection, EVENTS } from './connection.js';
import { Source } from './dom.js';
import { compare } from './ids.js';
import { PLACE } from './remember.js';

const NAME = `${PLACE}stream`;

/** Whether tabs should, and can, share a stream here. */
export function shouldShare() {
  const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
  return !/^h[23]/.test(navigation?.nextHopProtocol ?? '') && 'locks' in navigator && 'BroadcastChannel' in window;
}

/**
 * Has the same events and members as a {@link Connection}, and `missed`: the
 * tab did not hear all that was passed on.
 */
export class SharedConnection extends Source {
  #id = crypto.randomUUID();
  #channel = new BroadcastChannel(NAME);
  /** @type {Connection|undefined} set while leading, or alone */
  #own;
  #leads = false;
  /** The rooms of other tabs, while leading. @type {Map<string, string[]>} */
  #others = new Map();
  /** Who is where, for tabs that come later. @type {Map<string, any>} */
  #presence = new Map();
  #heardAt = Date.now();
  #ping = 15_000;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #watch;
  /** @type {() => void} */
  #release = () => {};

  /** @type {import('./connection.js').State} */
  state = 'connecting';
  retryAt = 0;
  cursor = '';

  /** @param {() => {rooms: string[], name: string}} wish */
  constructor(wish) {
    super();
    this.wish = wish;
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    addEventListener('pagehide', () => {
      this.#tell({ kind: 'leave' });
      this.#stop(); // a held lock would keep the page from being kept
    });
    addEventListener('pageshow', (event) => {
      if (event.persisted) this.start();
    });
    const check = () => {
      if (document.visibilityState === 'visible') this.#listen();
    };
    document.addEventListener('visibilitychange', check);
    document.addEventListener('resume', check);
  }

  start() {
    this.#queue();
    this.#join();
    // a leader that is frozen passes nothing on: then this tab helps itself
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

  /** Waits for its turn to lead. */
  #queue() {
    const control = new AbortController();
    const turn = navigator.locks.request(NAME, { signal: control.signal }, () => new Promise((resolve) => {
      this.#release = () => resolve(undefined);
      this.#lead();
    }));
    this.#release = () => control.abort();
    turn.catch(() => {}); // aborted before its turn
  }

  #stop() {
    this.#own?.stop();
    this.#own = undefined;
    this.#leads = false;
    this.#release();
  }

  #lead() {
    this.#leads = true;
    this.#others.clear();
    this.#own?.stop();
    this.#openOwn();
    this.#tell({ kind: 'who' }); // all others tell what they need
  }

  /** Opens a stream of its own, for all tabs or for itself. */
  #openOwn() {
    const own = new Connection(() => {
      const { rooms, name } = this.wish();
      return { rooms: [...new Set([...rooms, ...[...this.#others.values()].flat()])].slice(0, 100), name };
    });
    this.#own = own;
    own.cursor = this.cursor;
    for (const type of ['message', ...EVENTS]) {
      own.on(type, (data) => {
        this.#pass(type, data);
        if (this.#leads) this.#tell({ kind: 'event', type, data, cursor: own.cursor });
      });
    }
    own.on('state', (state) => {
      this.#become(state, own.retryAt);
      this.#tellState();
    });
    own.start();
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  #pass(type, data) {
    if (type === 'message') this.cursor = data.id;
    if (type === 'hello') {
      learnTime(data.now);
      this.#ping = data.ping_ms;
      this.cursor ||= data.latest;
    }
    if (type === 'presence') this.#presence.set(data.room, data);
    this.emit(type, data);
  }

  #tellState() {
    if (!this.#leads || !this.#own) return;
    const { rooms } = this.#own.wish();
    this.#tell({
      kind: 'state', state: this.#own.state, retryAt: this.#own.retryAt, rooms, cursor: this.#own.cursor, ping: this.#ping, presence: [...this.#presence.values()],
    });
  }

  #join() {
    this.#tell({ kind: 'join', rooms: this.wish().rooms });
  }

  /** @param {Record<string, any>} what */
  #tell(what) {
    this.#channel.postMessage({ from: this.#id, ...what });
  }

  /** @param {any} what */
  #hear(what) {
    if (this.#leads) this.#hearAsLeader(what);
    else this.#hearAsFollower(what);
  }

  /** @param {any} what */
  #hearAsLeader({ kind, from, rooms }) {
    if (kind === 'join') {
      const had = new Set(this.#own?.wish().rooms);
      this.#others.set(from, rooms);
      if (rooms.some((/** @type {string} */ room) => !had.has(room))) this.#own?.reopen();
      else this.#tellState();
    }
    if (kind === 'leave') this.#others.delete(from);
    if (kind === 'retry') this.#own?.retry();
  }

  /** @param {any} what */
  #hearAsFollower(what) {
    if (what.kind === 'who') this.#join();
    if (what.kind !== 'event' && what.kind !== 'state') return;
    this.#heardAt = Date.now();
    if (this.#own) { // was alone; there is a leader again
      this.#own.stop();
      this.#own = undefined;
      this.#join();
    }
    if (what.kind === 'event') {
      this.#pass(what.type, what.data);
      return;
    }
    this.#ping = what.ping;
    const covered = this.wish().rooms.every((room) => what.rooms.includes(room));
    if (!covered) this.#join();
    for (const presence of what.presence) this.#pass('presence', presence);
    if (compare(this.cursor, what.cursor) < 0) {
      this.cursor = what.cursor;
      this.emit('missed');
    }
    this.#become(covered || what.state !== 'live' ? what.state : 'connecting', what.retryAt);
  }

  /**
   * @param {import('./connection.js').State} state
   * @param {number} retryAt
   */
  #become(state, retryAt) {
    this.retryAt = retryAt;
    if (state === this.state && state !== 'waiting') return;
    this.state = state;
    this.emit('state', state);
  }

  #listen() {
    if (this.#own) return;
    const silent = Date.now() - this.#heardAt;
    if (silent > 2.5 * this.#ping) this.#openOwn();
    else if (silent > 1.2 * this.#ping) this.#join();
  }
}
