// A client of sse_chat for browsers and Node; docs/client.md describes it, and sse-chat.d.ts
// what each part does.

/** @import { Ask, ChatMembers, ChatOptions, Listen, Presence, Sending, Sink, State, Transport, You } from './sse-chat.js' */

const HEALTHY = 10_000; // ms, after which failures count from 0 again
const LONGEST_DELAY = 30_000;
const LONGEST_ANSWER = 20_000;
export const LOBBY = 'lobby';

/** @param {string} a @param {string} b */
export function compareIds(a, b) {
  const [[ms, n = 0], [ms2, n2 = 0]] = [a, b].map((id) => id.split('-').map(Number));
  return ms - ms2 || n - n2;
}

/** Redirects lead to a login; browsers hide them. @param {Response} answer */
export const wantsLogin = ({ status }) => status === 0 || status === 401 || (status >= 300 && status < 400);

/** @param {Response} answer */
async function jsonOf(answer, isPage = false) {
  const { ok, status, headers } = answer;
  const text = await answer.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch { /* from a proxy or a login */ }
  if (ok && (isPage ? Array.isArray(json?.messages) : json?.id)) return json;
  throw Object.assign(new Error(json?.error ?? `status ${status}`), {
    code: ok || wantsLogin(answer) ? 'login' : 'refused',
    status,
    retryAfter: 1000 * Number(headers.get('Retry-After')),
  });
}

/** @param {Response} answer */
export const isStream = ({ ok, headers }) => ok && Boolean(headers.get('Content-Type')?.startsWith('text/event-stream'));

/** The lobby has no name in a URL. @param {string} room @param {Record<string, string>} [query] */
const inRoom = (room, query) => Object.entries({ ...room !== LOBBY && { room }, ...query });

/** @param {ReadableStream<Uint8Array>} body @param {(event: Record<string, string>) => void} receive */
async function readEvents(body, receive) {
  const [reader, decoder] = [body.getReader(), new TextDecoder()];
  for (let rest = '', done, value; !done;) {
    ({ done, value } = await reader.read());
    const blocks = (rest + decoder.decode(value, { stream: !done })).split('\n\n');
    rest = blocks.pop() ?? '';
    // it may end with when to return
    if (done) blocks.push(/^retry: \d+$/m.exec(rest)?.[0] ?? '');
    receive({}); // a sign of life
    for (const block of blocks) receive(Object.fromEntries(block.split('\n').map((line) => line.split(/: ?(.*)/s, 2))));
  }
}

/** @implements {ChatMembers} */
export class Chat extends EventTarget {
  /** @type {Transport} */
  #stream = { open: () => this.#open(), close: () => this.#drop(), retry: () => this.#retry(), check: () => this.#check() };
  #connection = new AbortController();
  #timer = 0;
  #failures = 0;
  #openedAt = 0;
  #heardAt = 0;
  #ping = 15_000;
  #delay = -1; // from the server
  #bye = ''; // why the stream ends; full until it has begun
  #greeted = false;
  #isReady = false;
  #closing = new AbortController();
  /** @type {Ask} */
  #ask;
  /** The last of each room. @type {Map<string, Promise<any>>} */
  #turns = new Map();
  /** @type {Promise<any>|undefined} */
  #sender;
  #waits = new EventTarget();

  /** @type {State} */
  state = 'closed';
  retryAt = 0;
  /** @type {You|undefined} */
  you;
  /** @type {Map<string, State>} */
  refused = new Map();
  /** @type {Map<string, Presence>} */
  presence = new Map();
  /** @type {ChatMembers['messages']} */
  messages = [];

  /** @param {ChatOptions} [options] */
  constructor(options = {}) {
    super();
    const { url = '', rooms = [LOBBY], name = '', author = '', authorKey = '', last = 0, after = '', keep = 500, shareTabs, request } = options;
    this.rooms = rooms;
    this.name = name;
    this.author = author;
    this.last = last;
    this.cursor = after;
    /** @type {Ask} */
    const ask = (path, query, init, key = '') => fetch(`${url}${path}?${new URLSearchParams(query)}`, {
      cache: 'no-store', redirect: 'manual', ...request, ...init,
      headers: { ...request?.headers, ...key && { Authorization: `Author-Key ${key}` }, ...init.headers },
    });
    let key = authorKey;
    this.#ask = async (path, query, init) => {
      if (path !== 'update' || !key || this.you?.name) return ask(path, query, init);
      const answer = await ask(path, query, init, key);
      if (answer.status !== 401) return answer;
      // the header is where a browser's own login would be
      const other = await ask(path, query, init);
      if (other.status !== 401) key = '';
      return other;
    };
    const [page] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
    const use = (/** @type {any} */ { listing }) => {
      this.#emit = listing(this, keep, this.#emit);
    };
    Promise.all([
      (shareTabs === true || (shareTabs && !/^h[23]/.test(page?.nextHopProtocol))) && import('./sse-chat-tabs.js').then(({ SharedStream }) => {
        this.#stream = new SharedStream(this, options, (...event) => this.#receive(...event));
      }).catch(() => {}),
      keep && import('./sse-chat-more.js').then(use, () => {
        this.#reload().then(use);
      }),
    ]).then(() => {
      this.#isReady = true;
      this.#listen();
      this.subscribe();
    });
  }

  #listen() {
    const { document } = globalThis;
    const check = () => document.visibilityState === 'hidden' || (this.#isOpen && this.#stream.check());
    /** @type {Listen} */
    const on = (target, listeners) => {
      for (const type in listeners) target?.addEventListener?.(type, listeners[type], this.#closing);
    };
    on(document, { visibilitychange: check, resume: check });
    on(globalThis, {
      focus: check,
      online: () => this.state === 'removed' || this.retry(),
      offline: () => this.state === 'waiting' && this.#become('offline', this.retryAt),
      // for the back-forward cache
      pagehide: () => this.#stream.close(),
      pageshow: ({ persisted }) => persisted && this.subscribe(),
    });
  }

  get #isOpen() {
    return this.#isReady && this.rooms.length > 0 && !this.#closing.signal.aborted;
  }

  subscribe({ rooms = this.rooms, name = this.name } = {}) {
    this.rooms = rooms;
    this.name = name;
    if (this.#isOpen) {
      this.#stream.open();
    } else {
      this.#stream.close();
      this.#become('closed', 0, new Map());
    }
  }

  retry() {
    if (this.#isOpen) this.#stream.retry();
    this.#waits.dispatchEvent(new Event('live'));
  }

  close() {
    this.#closing.abort();
    this.subscribe();
  }

  /** An EventSource gives up at a status, and may not notice its end. */
  async #open() {
    this.#drop();
    const { signal } = this.#connection = new AbortController();
    const open = this.rooms.filter((room) => !this.refused.has(room));
    const rooms = open.length ? open : this.rooms;
    if (!/live|login|refused|full/.test(this.state)) this.#become('connecting');
    this.#delay = -1;
    this.#bye = 'full';
    this.#openedAt = 0;
    this.#heard();
    /** @type {State|undefined} */
    let reason;
    /** @type {[string, State][]} */
    let refusing = [];
    try {
      const answer = await this.#ask('subscribe', this.#query(rooms), { headers: { Accept: 'text/event-stream' }, signal });
      if (answer.body && isStream(answer)) {
        this.#openedAt = Date.now();
        await readEvents(answer.body, (event) => signal.aborted || this.#read(event));
        if (this.#bye === 'full' && this.#delay >= 0) reason = 'full';
      } else if (answer.status < 500 || answer.headers.has('Retry-After')) {
        if (wantsLogin(answer)) reason = 'login';
        const { explain } = await import('./sse-chat-more.js');
        [reason, refusing, this.#delay] = await explain(answer, this.#greeted, rooms, (room) => this.#ask('subscribe', inRoom(room), { method: 'HEAD', signal }));
      }
    } catch { /* by the network, or closed */ }
    if (signal.aborted) return;
    if (refusing.length) {
      this.#become(this.state, 0, new Map([...this.refused, ...refusing]));
      this.#open();
    } else {
      this.#ended(reason);
    }
  }

  #query(rooms = this.rooms) {
    const { name, author, cursor, last } = this;
    const rest = { name, author, ...cursor ? { last_event_id: cursor } : last && { last: String(last) } };
    return [['events', '1'], ...rooms.map((room) => ['room', room]), ...Object.entries(rest).filter(([, value]) => value)];
  }

  /** @param {Record<string, string>} event */
  #read({ event: type = 'message', data, id, retry }) {
    if (retry) this.#delay = Number(retry);
    const parsed = data && JSON.parse(data);
    if (type === 'hello') {
      this.#greeted = true;
      this.#delay = -1; // that was for an EventSource
      this.#bye = '';
      this.#ping = parsed.ping_ms;
    }
    if (type === 'bye') {
      this.#delay = parsed.retry_ms;
      this.#bye = parsed.reason;
    }
    this.#heard();
    if (data) this.#receive(type === 'statechange' ? 'message' : type, parsed, id);
  }

  #heard() {
    this.#heardAt = Date.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ended(), 2.5 * this.#ping);
  }

  #drop() {
    this.#connection.abort();
    clearTimeout(this.#timer);
  }

  /** @param {State} [reason] */
  #ended(reason) {
    if (this.#openedAt && Date.now() - this.#openedAt > HEALTHY) this.#failures = 0;
    this.#drop();
    const most = Math.min(LONGEST_DELAY, 1000 * 2 ** this.#failures++);
    // those cut off together must not return together
    const delay = this.#delay >= 0 ? this.#delay : Math.max(200, Math.random() * most);
    if (reason !== 'removed') this.#timer = setTimeout(() => this.#open(), delay);
    this.#become(reason || (globalThis.navigator?.onLine === false ? 'offline' : 'waiting'), Date.now() + delay);
  }

  #retry() {
    const isCalm = /live|connecting/.test(this.state);
    if (isCalm && !this.refused.size) return;
    this.#failures = 0;
    this.#become(isCalm ? this.state : 'connecting', 0, new Map());
    this.#open();
  }

  /** After sleep, a connection may look open but be dead. */
  #check() {
    if (/waiting|offline/.test(this.state)) this.#retry();
    else if (!this.#connection.signal.aborted && Date.now() - this.#heardAt > 1.5 * this.#ping) this.#open();
  }

  /** @type {Sink} */
  #emit = (type, data, lastEventId) => {
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId }));
  };

  /** @type {Sink} */
  #receive(type, data, id = '') {
    if (type === 'statechange') {
      this.#become(data.state, data.retryAt, data.refused);
      return;
    }
    if (id) this.cursor = id;
    if (type === 'hello') this.you = data.you;
    if (type === 'presence') {
      // of many people, names seldom come
      const { names } = this.presence.get(data.room) ?? {};
      if (!data.names && data.unnamed < data.count) data = { ...data, names };
      this.presence.set(data.room, data);
    }
    this.#emit(type, data, id);
    if (type !== 'live') return;
    this.#become('live');
    this.#waits.dispatchEvent(new Event(type));
  }

  #become(state = this.state, retryAt = 0, refused = this.refused) {
    const isSame = state === this.state && !/waiting|full/.test(state) && !refused.size && !this.refused.size;
    this.state = state;
    this.retryAt = retryAt;
    this.refused = refused;
    if (!isSame) this.#emit('statechange', state);
  }

  /** @type {ChatMembers['history']} */
  async history({ room = this.rooms[0] ?? LOBBY, limit = 50, ...query } = {}) {
    return jsonOf(await this.#ask('history', inRoom(room, { ...query, limit: String(limit) }), { signal: AbortSignal.timeout(LONGEST_ANSWER) }), true);
  }

  /** @param {object} message @param {Sending} [sending] */
  send(message, sending) {
    return this.#queue('POST', { name: this.name || undefined, ...message }, sending);
  }

  /** @param {string} id @param {object} change @param {Sending} [sending] */
  change(id, change, sending) {
    return this.#queue('PATCH', change, sending, { id });
  }

  /** @param {string} id @param {Sending} [sending] */
  remove(id, sending) {
    return this.#queue('DELETE', undefined, sending, { id });
  }

  async signal(signal = 'typing', room = this.rooms[0] ?? LOBBY) {
    await this.#ask('update', inRoom(room), { method: 'POST', body: JSON.stringify({ signal, name: this.name || undefined }), signal: AbortSignal.timeout(LONGEST_ANSWER) }).catch(() => {});
  }

  /** @param {string} method @param {object|undefined} body @param {Sending} [sending] */
  #queue(method, body, { room = this.rooms[0] ?? LOBBY, ...sending } = {}, query = {}) {
    const until = AbortSignal.any([this.#closing.signal, sending.signal ?? this.#closing.signal]);
    const post = (/** @type {RequestInit} */ init) => this.#ask('update', inRoom(room, query), { method, body: JSON.stringify(body), ...init }).then(jsonOf);
    const turn = Promise.resolve(this.#turns.get(room)).catch(() => {})
      .then(() => this.#sender ??= import('./sse-chat-more.js').catch(() => this.#reload()))
      .then(({ deliver }) => deliver(post, this.#waits, until, sending))
      .finally(() => this.#turns.get(room) === turn && this.#turns.delete(room));
    this.#turns.set(room, turn);
    return new Promise((resolve, reject) => {
      turn.then(resolve, reject);
      until.onabort = () => reject(until.reason);
      until.throwIfAborted();
    });
  }

  /** A failed address may fail forever. @returns {Promise<any>} */
  #reload() {
    return import(`./sse-chat-more.js?${Date.now()}`).catch(() => new Promise((resolve) => {
      this.#waits.addEventListener('live', resolve, { once: true });
      AbortSignal.timeout(LONGEST_DELAY).onabort = resolve;
    }).then(() => this.#reload()));
  }
}
