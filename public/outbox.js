// Unacknowledged messages: sent in order, and repeated with the same nonce until
// acknowledged. Each draft has a key in localStorage and is sent by its own tab, or
// by another if that is gone. If two tabs send it, the nonce makes it one message.

import { endpoint, LOBBY } from './address.js';
import { wantsLogin } from './connection.js';
import { Source } from './dom.js';
import { roomName } from './name.js';
import { everywhere, isText, onChange } from './remember.js';
import { reason, say } from './words.js';

const KEY = 'outbox ';
const LONGEST_DELAY = 30_000;
const LONGEST_ANSWER = 20_000;
const NONCE_LASTS = 9 * 60_000; // the server's 10, less a margin

/** @param {any} draft */
const isDraft = ({ room, text, name, nonce, at, tab, error = '', tried = 0 }) => [room, text, name, nonce, tab, error].every(isText)
  && [at, tried].every(Number.isFinite) && roomName(room) === room && /^[\w-]{1,64}$/.test(nonce);

/** @param {Event} event */
const ask = (event) => event.preventDefault();

/** Emits `draft` when one has changed, `gone` when one is, `sent` with a message, and `shut`. */
export class Outbox extends Source {
  #tab = newNonce();
  /** @type {Draft[]} of all tabs */
  #drafts = [];
  /** @type {Set<string>} rooms that are sending one */
  #busy = new Set();
  /** @type {Set<() => void>} */
  #waits = new Set();
  /** @type {Set<string>} rooms that need a login */
  shut = new Set();

  constructor() {
    super();
    this.#read();
    onChange(KEY, () => this.#read());
    addEventListener('online', () => this.hurry());
    addEventListener('pageshow', ({ persisted }) => persisted && this.start());
    addEventListener('pagehide', () => {
      for (const draft of this.#drafts) {
        if (draft.tab === this.#tab) this.#keep(draft, { tab: '' });
      }
    });
  }

  /** @param {string} room */
  in(room) {
    return this.#drafts.filter((draft) => draft.room === room);
  }

  /** @param {string} [nonce] */
  #get(nonce) {
    return this.#drafts.find((draft) => draft.nonce === nonce);
  }

  /** @param {string} room @param {string} text @param {string} name */
  write(room, text, name) {
    const draft = { room, text, name, nonce: newNonce(), at: 0, tab: '' };
    this.#drafts.push(draft);
    wrote(room, draft.nonce);
    this.again(draft.nonce);
  }

  /** @param {string} nonce */
  again(nonce) {
    const draft = this.#get(nonce);
    if (!draft) return;
    const at = Math.max(Date.now(), ...this.#drafts.map((d) => d.at + 1));
    this.#keep(draft, { error: undefined, tried: undefined, tab: this.#tab, at });
    this.#send(draft.room);
  }

  start() {
    this.#read();
    this.adopt(true);
  }

  /** Takes over drafts of closed tabs, or all: tabs may have crashed. */
  adopt(all = false) {
    for (const draft of this.#drafts) {
      if (draft.tab === this.#tab || draft.error || (draft.tab && !all)) continue;
      this.#keep(draft, { tab: this.#tab });
      this.#send(draft.room);
    }
  }

  /** The connection is back. */
  hurry() {
    for (const wake of this.#waits) wake();
  }

  /** @param {string} [nonce] */
  forget(nonce) {
    if (!this.#get(nonce)) return;
    everywhere.set(KEY + nonce);
    this.#drafts = this.#drafts.filter((draft) => draft.nonce !== nonce);
    this.#settle();
    this.hurry(); // the next ones need not wait
  }

  /** @param {Draft} draft @param {Partial<Draft>} changes */
  #keep(draft, changes) {
    Object.assign(draft, changes);
    everywhere.set(KEY + draft.nonce, draft);
    this.#settle();
    this.emit('draft', draft);
  }

  #settle() {
    this.#drafts.sort((a, b) => a.at - b.at);
    // a page that may ask is not in the back-forward cache; who goes to log in comes back
    const waits = this.#drafts.some(({ tab, error, room }) => tab === this.#tab && !error && !this.shut.has(room));
    if (waits) addEventListener('beforeunload', ask);
    else removeEventListener('beforeunload', ask);
  }

  #read() {
    const old = this.#drafts;
    this.#drafts = everywhere.keys(KEY).map((key) => everywhere.get(key, null, isDraft)).filter((draft) => draft !== null);
    this.#settle();
    for (const draft of this.#drafts) {
      wrote(draft.room, draft.nonce);
      this.emit('draft', draft);
    }
    for (const draft of old) {
      if (this.#get(draft.nonce)) continue;
      this.emit('gone', draft);
      this.hurry(); // the server is up
    }
    // one other tab is enough
    if (this.#drafts.some(({ tab, error }) => !tab && !error)) setTimeout(() => this.adopt(), 500 * Math.random());
  }

  /** @param {string} room */
  async #send(room) {
    if (this.#busy.has(room)) return;
    this.#busy.add(room);
    const next = () => this.in(room).find(({ tab, error }) => tab === this.#tab && !error);
    for (let draft, failures = 0; (draft = next()); failures++) {
      // it may outlive the page; browsers limit that, so the next may not
      const pause = await this.#attempt(draft, failures % 2 === 0);
      const most = Math.min(LONGEST_DELAY, 500 * 2 ** failures);
      if (pause) await this.#wait(Math.max(pause, most * (0.5 + Math.random() / 2)), pause === 1 || pause === Infinity);
      else failures = -1;
    }
    this.#busy.delete(room);
  }

  /** Returns ms to wait, 0 if done, 1 for the network, Infinity for the reader. @param {Draft} draft @param {boolean} keepalive */
  async #attempt(draft, keepalive) {
    const now = Date.now();
    if (Math.abs(now - (draft.tried ?? now)) > NONCE_LASTS) { // it might be stored twice; if it is there, the timeline finds it
      this.#keep(draft, { error: say('unsure') });
      return 0;
    }
    const wasOff = !navigator.onLine;
    this.#keep(draft, { tried: draft.tried ?? now });
    const answer = await post(draft, keepalive);
    const message = answer?.ok ? await answer.json().catch(() => null) : null;
    const current = this.#get(draft.nonce);
    if (!answer) {
      // nothing was sent
      if (wasOff && !navigator.onLine && current?.tried === now) this.#keep(current, { tried: undefined });
      return 1;
    }
    // other answers are from a login, or a network that needs one
    const isShut = wantsLogin(answer) || (answer.ok && !message?.id);
    if (isShut !== this.shut.has(draft.room)) {
      if (isShut) this.shut.add(draft.room);
      else this.shut.delete(draft.room);
      this.#settle();
      this.emit('shut');
    }
    if (isShut) return answer.status === 401 ? Infinity : 1; // browsers ask for it themselves
    if (message) return this.#sent(draft, message);
    if (answer.status >= 500 || answer.status === 429) return 1000 * Number(answer.headers.get('Retry-After')) || 1;
    const { error } = await answer.json().catch(() => ({}));
    if (current) this.#keep(current, { error: reason(answer.status, error) });
    return 0;
  }

  /** @param {Draft} draft @param {Message & {deleted?: boolean}} message */
  #sent(draft, message) {
    wrote(draft.room, draft.nonce, message.id);
    this.forget(draft.nonce);
    if (message.deleted) this.emit('gone', draft);
    else this.emit('sent', message);
    return 0;
  }

  /** @param {number} ms @param {boolean} wakes */
  #wait(ms, wakes) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waits.delete(wake);
        resolve(undefined);
      };
      const timer = ms < Infinity ? setTimeout(wake, ms) : undefined;
      if (wakes) this.#waits.add(wake);
    });
  }
}

/** @param {Draft} draft @param {boolean} keepalive */
const post = ({ room, text, name, nonce }, keepalive) => fetch(endpoint('update', room), {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(name ? { text, name, nonce } : { text, nonce }),
  keepalive,
  redirect: 'manual',
  signal: AbortSignal.timeout(LONGEST_ANSWER),
}).catch(() => null);

/** 128 random bits. */
const newNonce = () => crypto.getRandomValues(new Uint32Array(4)).join('-');

/** The id by room and nonce, '' until known: a key each, because tabs write concurrently. */
export const MINE = 'mine ';

/** @param {string} key */
export const idOf = (key) => everywhere.get(key, undefined, isText);

/** The reader's name from the server, by room. @type {Map<string, string>} */
export const names = new Map();

/** @param {string} room @param {string} nonce @param {string} [id] */
export function wrote(room, nonce, id = '') {
  const key = `${MINE}${room} ${nonce}`;
  const known = idOf(key);
  if (known === undefined || (id && known !== id)) everywhere.set(key, id);
}

/** @param {{room?: string, nonce?: string, id: string, name?: string}} message */
export function isMine({ room = LOBBY, nonce = '', id, name }) {
  if (name && name === names.get(room)) return true;
  const known = idOf(`${MINE}${room} ${nonce}`);
  // nobody else knows a nonce before its first message is there
  if (known === '' && id) wrote(room, nonce, id);
  return known === '' || known === id;
}
