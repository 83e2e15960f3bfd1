// The stream from the server: opened, watched, and opened again by our own
// rules, because a browser's EventSource gives up for good at the first
// answer that is not 200, and does not notice when a connection is dead.

import { Source } from './dom.js';
import { learnTime } from './words.js';

/** The events of a stream that have a name. */
export const EVENTS = ['hello', 'live', 'ping', 'presence', 'delete', 'gap', 'bye'];

const HEALTHY = 10_000; // ms, after which an end counts as the first
const LONGEST_DELAY = 30_000;

/** Emits `state`, `message` and each of EVENTS with its data. */
export class Connection extends Source {
  /** @type {EventSource|undefined} */
  #source;
  #generation = 0; // of #source; what older ones still say is not listened to
  #failures = 0;
  #openedAt = 0;
  #heardAt = 0;
  #ping = 15_000;
  #greeted = false; // by any stream
  #delay = -1; // as the server asks for, or -1
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {AbortController|undefined} unset while it is stopped */
  #running;

  /** @type {State} */
  state = 'connecting';
  retryAt = 0;
  /** The newest message seen, in any room. */
  cursor = '';

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
    // a page that is kept for going back to must have no connection
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

  /** What is wished for has changed. */
  reopen() {
    if (this.#running) this.#open();
  }

  retry() {
    if (!this.#running || this.state === 'live' || this.state === 'connecting') return;
    this.#failures = 0;
    this.#open();
  }

  get #url() {
    const { rooms, name } = this.wish();
    const query = new URLSearchParams({ events: '1' });
    for (const room of rooms) query.append('room', room);
    if (name) query.set('name', name);
    if (this.cursor) query.set('last_event_id', this.cursor);
    // there was nothing yet that an id could name; all that came since is new
    else if (this.#greeted) query.set('last', '1000');
    return `subscribe?${query}`;
  }

  #open() {
    this.#drop();
    const generation = this.#generation;
    if (this.state !== 'live') this.#become('connecting');
    this.#delay = -1;
    this.#openedAt = 0;
    this.#heardAt = Date.now();
    const url = this.#url;
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
      source.addEventListener(type, heard(({ data }) => this.#named(type, JSON.parse(data))));
    }
    source.onerror = () => {
      if (generation !== this.#generation) return;
      const refused = source.readyState === EventSource.CLOSED && !this.#openedAt;
      this.#ended();
      if (refused) this.#askWhy(url);
    };
    this.#watch();
  }

  /** @param {string} type @param {any} data */
  #named(type, data) {
    if (type === 'hello') {
      learnTime(data.now);
      this.#ping = data.ping_ms;
      // so that what comes before the first message is not lost with a
      // connection that ends before it; later ones begin with a replay
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
    // full jitter, so that those who were cut off together do not come back so
    const delay = this.#delay >= 0 ? this.#delay : Math.max(200, Math.random() * most);
    this.retryAt = Date.now() + delay;
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#become(navigator.onLine ? 'waiting' : 'offline');
  }

  /** Finds out why there is no stream, which EventSource does not tell. @param {string} url */
  async #askWhy(url) {
    const generation = this.#generation;
    const control = new AbortController();
    const answer = await fetch(url, { cache: 'no-store', signal: control.signal }).catch(() => null);
    const streams = answer?.headers.get('Content-Type')?.startsWith('text/event-stream');
    control.abort(); // it may be a stream
    if (!answer || streams || generation !== this.#generation) return;
    if (answer.status === 204) { // for good
      this.#drop();
      this.#become('removed');
    } else if (answer.ok || answer.status === 404) {
      this.#become('absent');
    } else if (answer.status === 401 || answer.status === 403) {
      this.#become('refused');
    }
  }

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (Date.now() - this.#heardAt > 2.4 * this.#ping) this.#ended();
      else this.#watch();
    }, 2.5 * this.#ping);
  }

  /** After a sleep a connection may look open and be dead. */
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
