// The stream, with our own reconnects: an EventSource gives up at an answer that is
// not 200, and does not notice a dead connection.

import { Source } from './dom.js';
import { learnTime } from './words.js';

/** The named events of a stream. */
export const EVENTS = ['hello', 'live', 'ping', 'presence', 'change', 'delete', 'gap', 'bye'];

const HEALTHY = 10_000; // ms, after which failures count from 0 again
const LONGEST_DELAY = 30_000;

/** A redirect means a login. @param {Response} answer */
export const wantsLogin = ({ type, status }) => type === 'opaqueredirect' || status === 401;

/** Emits `state`, `barred`, `message` and each of EVENTS. */
export class Connection extends Source {
  /** @type {EventSource|undefined} */
  #source;
  #generation = 0; // of #source
  #failures = 0;
  #openedAt = 0;
  #heardAt = 0;
  #ping = 15_000;
  #greeted = false; // on any stream
  #delay = -1; // from the server
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {AbortController|undefined} unset while stopped */
  #running;

  /** @type {State} */
  state = 'connecting';
  retryAt = 0;
  /** The newest message seen, in any room. */
  cursor = '';
  /** @type {You|undefined} */
  you;
  /** Rooms that refuse the reader. @type {Map<string, State>} */
  barred = new Map();

  /** @param {() => {rooms: string[], name: string}} wish */
  constructor(wish) {
    super();
    this.wish = wish;
  }

  start() {
    this.stop();
    this.#running = new AbortController();
    const { signal } = this.#running;
    const check = () => this.#check();
    document.addEventListener('visibilitychange', check, { signal });
    document.addEventListener('resume', check, { signal });
    addEventListener('focus', check, { signal });
    addEventListener('online', () => this.retry(), { signal });
    addEventListener('offline', () => {
      if (this.state === 'waiting') this.#become('offline');
    }, { signal });
    // a page in the back-forward cache must have no connection
    addEventListener('pagehide', () => this.#drop(), { signal });
    addEventListener('pageshow', (event) => {
      if (event.persisted) this.#open();
    }, { signal });
    this.#open();
  }

  stop() {
    this.#running?.abort();
    this.#running = undefined;
    this.#drop();
  }

  /** The wish has changed. */
  reopen() {
    if (this.#running) this.#open();
  }

  retry() {
    const calm = this.state === 'live' || this.state === 'connecting';
    if (!this.#running || (calm && !this.barred.size)) return;
    this.#bar([]);
    this.#failures = 0;
    if (!calm) this.#become('connecting');
    this.#open();
  }

  get #isShut() {
    return this.state === 'login' || this.state === 'refused';
  }

  /** @param {[string, State][]} rooms */
  #bar(rooms) {
    this.barred = new Map(rooms);
    this.emit('barred');
  }

  /** @param {string[]} rooms */
  #url(rooms) {
    const { name } = this.wish();
    const query = new URLSearchParams({ events: '1' });
    for (const room of rooms) query.append('room', room);
    if (name) query.set('name', name);
    if (this.cursor) query.set('last_event_id', this.cursor);
    // there was no message to have an id; all since then are new
    else if (this.#greeted) query.set('last', '1000');
    return `subscribe?${query}`;
  }

  #open() {
    this.#drop();
    const generation = this.#generation;
    if (this.state !== 'live' && !this.#isShut) this.#become('connecting');
    this.#delay = -1;
    this.#openedAt = 0;
    this.#heardAt = Date.now();
    const { rooms: all } = this.wish();
    const open = all.filter((room) => !this.barred.has(room));
    const rooms = open.length ? open : all;
    const url = this.#url(rooms);
    const source = new EventSource(url);
    this.#source = source;
    /** @param {(event: MessageEvent) => void} listener */
    const heard = (listener) => (/** @type {Event} */ event) => {
      if (generation !== this.#generation) return;
      this.#heardAt = Date.now();
      listener(/** @type {MessageEvent} */ (event));
    };
    source.onopen = heard(() => {
      this.#openedAt = Date.now();
    });
    source.onmessage = heard(({ data }) => {
      /** @type {Message} */
      const message = JSON.parse(data);
      this.cursor = message.id;
      this.emit('message', message);
    });
    for (const type of EVENTS) {
      source.addEventListener(type, heard(({ data, lastEventId }) => {
        if (lastEventId && (type === 'change' || type === 'delete')) this.cursor = lastEventId;
        this.#named(type, JSON.parse(data));
      }));
    }
    source.onerror = () => {
      if (generation !== this.#generation) return;
      const refused = source.readyState === EventSource.CLOSED && !this.#openedAt;
      this.#ended();
      if (refused) this.#askWhy(url, rooms);
    };
    this.#watch();
  }

  /** @param {string} type @param {any} data */
  #named(type, data) {
    if (type === 'hello') {
      learnTime(data.now);
      this.#ping = data.ping_ms;
      this.you = data.you;
      // a point to resume from if the connection ends before the first
      // message; later connections start with a replay
      if (!this.#greeted) this.cursor ||= data.latest;
      this.#greeted = true;
      this.#watch();
    }
    if (type === 'bye') this.#delay = data.retry_ms;
    this.emit(type, data);
    if (type === 'live') this.#become('live');
  }

  #drop() {
    this.#generation++;
    this.#source?.close();
    this.#source = undefined;
    clearTimeout(this.#timer);
  }

  #ended() {
    if (this.#openedAt && Date.now() - this.#openedAt > HEALTHY) this.#failures = 0;
    this.#drop();
    const most = Math.min(LONGEST_DELAY, 1000 * 2 ** this.#failures++);
    // full jitter: clients that were cut off together must not return together
    const delay = this.#delay >= 0 ? this.#delay : Math.max(200, Math.random() * most);
    this.retryAt = Date.now() + delay;
    this.#later();
    if (!this.#isShut) this.#become(navigator.onLine ? 'waiting' : 'offline');
  }

  #later() {
    this.#timer = setTimeout(() => this.#open(), this.retryAt - Date.now());
  }

  /** Finds out why there is no stream. @param {string} url @param {string[]} rooms */
  async #askWhy(url, rooms) {
    const generation = this.#generation;
    clearTimeout(this.#timer);
    const { reason, barred } = await import('./door.js').then(({ ask }) => ask(url, rooms, this.#greeted), () => ({ reason: /** @type {const} */ (''), barred: [] }));
    if (generation !== this.#generation) return;
    if (barred.length) {
      this.#bar([...this.barred, ...barred]);
      this.#open();
      return;
    }
    if (reason || this.#isShut) this.#become(reason || 'waiting');
    if (reason !== 'removed') this.#later();
  }

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (Date.now() - this.#heardAt > 2.4 * this.#ping) this.#ended();
      else this.#watch();
    }, 2.5 * this.#ping);
  }

  /** After sleep, a connection may look open but be dead. */
  #check() {
    if (document.visibilityState === 'hidden') return;
    if (this.state === 'waiting' || this.state === 'offline') this.retry();
    else if (this.#source && Date.now() - this.#heardAt > 1.5 * this.#ping) this.#open();
  }

  /** @param {State} state */
  #become(state) {
    this.state = state;
    this.emit('state', state);
  }
}
