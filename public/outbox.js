// Unacknowledged messages. Each draft has a key in localStorage and is sent by its own
// tab, or by another if that is gone.

import { Source } from './dom.js';
import { chat, learn, shut } from './history.js';
import { everywhere, isText, onChange } from './remember.js';
import { roomName } from './roomname.js';
import { LOBBY } from './sse-chat.js';
import { reason, say } from './words.js';

const KEY = 'outbox ';

/** @param {any} draft */
const isDraft = ({ room, text, name, nonce, at, tab, error = '', tried = 0 }) => [room, text, name, nonce, tab, error].every(isText)
  && [at, tried].every(Number.isFinite) && roomName(room) === room && /^[\w-]{1,64}$/.test(nonce);

/** @param {Event} event */
const ask = (event) => event.preventDefault();

/** Emits `draft` when one has changed, `gone` when one is, and `sent` with a message. */
export class Outbox extends Source {
  #tab = newNonce();
  /** @type {Draft[]} of all tabs */
  #drafts = [];
  /** @type {Map<string, AbortController>} by nonce */
  #sending = new Map();

  constructor() {
    super();
    this.#read();
    onChange(KEY, () => this.#read());
    addEventListener('pageshow', ({ persisted }) => persisted && this.start());
    addEventListener('pagehide', () => {
      for (const draft of this.#drafts) {
        if (draft.tab === this.#tab) this.#keep(draft.nonce, { tab: '' });
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
    const at = Math.max(Date.now(), ...this.#drafts.map((draft) => draft.at + 1));
    this.#keep(nonce, { error: undefined, tried: undefined, tab: this.#tab, at });
    const draft = this.#get(nonce);
    if (draft) this.#send(draft);
  }

  start() {
    this.#read();
    this.adopt(true);
  }

  /** Takes over drafts of closed tabs, or all: tabs may have crashed. */
  adopt(all = false) {
    for (const draft of this.#drafts) {
      if (draft.tab === this.#tab || draft.error || (draft.tab && !all)) continue;
      this.#keep(draft.nonce, { tab: this.#tab });
      this.#send(draft);
    }
  }

  /** @param {string} [nonce] @param {boolean} [isStored] */
  forget(nonce = '', isStored) {
    const draft = this.#get(nonce);
    if (!draft) return;
    everywhere.set(KEY + nonce);
    this.#drafts = this.#drafts.filter((draft) => draft.nonce !== nonce);
    const control = this.#sending.get(nonce);
    // the answer may be on its way
    setTimeout(() => control?.abort(), isStored ? 1000 : 0);
    if (isStored) this.#shut(draft.room, false);
    this.#settle();
  }

  /** @param {string} nonce @param {Partial<Draft>} changes */
  #keep(nonce, changes) {
    const draft = this.#get(nonce);
    if (!draft) return;
    Object.assign(draft, changes);
    everywhere.set(KEY + nonce, draft);
    this.#settle();
    this.emit('draft', draft);
  }

  #settle() {
    this.#drafts.sort((a, b) => a.at - b.at);
    // a page that may ask is not in the back-forward cache; who goes to log in comes back
    const waits = this.#drafts.some(({ tab, error, room }) => tab === this.#tab && !error && !shut.has(`write ${room}`));
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
      this.#sending.get(draft.nonce)?.abort();
      this.emit('gone', draft);
    }
    // one other tab is enough
    if (this.#drafts.some(({ tab, error }) => !tab && !error)) setTimeout(() => this.adopt(), 500 * Math.random());
  }

  /** Until it is stored or refused. @param {Draft} draft */
  async #send({ room, text, name, nonce, tried: since }) {
    if (this.#sending.has(nonce)) return;
    const control = new AbortController();
    const { signal } = control;
    this.#sending.set(nonce, control);
    try {
      const message = await chat.send({ text, name: name || undefined }, {
        room, nonce, since, signal,
        onattempt: (at) => this.#keep(nonce, { tried: at || undefined }),
        onwait: (waits) => this.#keep(nonce, { waits }),
        onlogin: () => this.#shut(room, true),
      });
      this.#shut(room, false);
      wrote(room, nonce, message.id);
      this.forget(nonce);
      if (message.deleted) this.emit('gone', { nonce });
      else this.emit('sent', message);
    } catch (/** @type {any} */ { code, status, message }) {
      if (signal.aborted) return;
      this.#shut(room, false);
      const refused = /400|413|422/.test(status) ? message : undefined;
      this.#keep(nonce, { refused, error: code === 'unsure' ? say('unsure') : reason(status, message) });
    } finally {
      this.#sending.delete(nonce);
    }
  }

  /** @param {string} room @param {boolean} isShut */
  #shut(room, isShut) {
    learn(`write ${room}`, isShut);
    this.#settle();
  }
}

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
