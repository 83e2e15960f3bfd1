// Sends drafts. Each has a key in the storage, and is sent by its own tab, or by another
// if that is gone.

import { Source } from './dom.js';
import { ask, KEY, learnMine, tab } from './drafts.js';
import { chat, learn, shut } from './history.js';
import { everywhere, isText, onChange } from './remember.js';
import { roomName } from './roomname.js';
import { reason, say } from './words.js';

/** @param {any} draft */
const isDraft = ({ room, text = '', name = '', nonce, at, tab, error = '', tried = 0, id = '', change = null, reply_to = '', due = 0 }) => (
  [room, text, name, nonce, tab, error, id, reply_to].every(isText) && [at, tried, due].every(Number.isFinite)
  && typeof change === 'object' && roomName(room) === room && /^[\w-]{1,64}$/.test(nonce));

/** Emits `draft` when one has changed, `gone` when one is, and `sent` {draft, message}. */
export class Outbox extends Source {
  /** @type {Draft[]} of all tabs */
  #drafts = [];
  /** @type {Map<string, AbortController>} by nonce */
  #sending = new Map();

  constructor() {
    super();
    onChange(KEY, () => this.read());
    addEventListener('pageshow', ({ persisted }) => persisted && this.start());
    addEventListener('pagehide', () => {
      for (const draft of this.#drafts) {
        if (draft.tab === tab) this.#keep(draft.nonce, { tab: '' });
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

  /** @param {string} nonce */
  again(nonce) {
    const at = Math.max(Date.now(), ...this.#drafts.map((draft) => draft.at + 1));
    this.#keep(nonce, { error: undefined, tried: undefined, tab, at });
    const draft = this.#get(nonce);
    if (draft) this.#send(draft);
  }

  start() {
    this.read();
    this.adopt(true);
  }

  /** Takes over drafts of closed tabs, or all: tabs may have crashed. */
  adopt(all = false) {
    for (const draft of this.#drafts) {
      if (draft.tab === tab || draft.error || (draft.tab && !all)) continue;
      this.#keep(draft.nonce, { tab });
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

  /** The reader takes it back. @param {string} nonce */
  discard(nonce) {
    const draft = this.#get(nonce);
    this.forget(nonce);
    if (draft) this.emit('gone', draft);
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
    const waits = this.#drafts.some((draft) => draft.tab === tab && !draft.error && !shut.has(`write ${draft.room}`));
    if (waits) addEventListener('beforeunload', ask);
    else removeEventListener('beforeunload', ask);
  }

  /** Another tab, or this one, has written drafts. */
  read() {
    const old = this.#drafts;
    this.#drafts = everywhere.keys(KEY).map((key) => everywhere.get(key, null, isDraft)).filter((draft) => draft !== null);
    this.#settle();
    for (const draft of this.#drafts) {
      this.emit('draft', draft);
      if (draft.tab === tab && !draft.error) this.#send(draft);
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
  async #send({ nonce, due = 0 }) {
    if (this.#sending.has(nonce)) return;
    const control = new AbortController();
    this.#sending.set(nonce, control);
    // until then it can be taken back
    if (due > Date.now()) await new Promise((resolve) => setTimeout(resolve, due - Date.now()));
    const draft = this.#get(nonce);
    if (draft?.tab === tab) await this.#deliver(draft, control.signal);
    this.#sending.delete(nonce);
  }

  /** @param {Draft} draft @param {AbortSignal} signal */
  async #deliver(draft, signal) {
    const { room, nonce, tried: since, id, change, text, name, reply_to } = draft;
    const sending = {
      room, nonce, since, signal,
      onattempt: (/** @type {number} */ at) => this.#keep(nonce, { tried: at || undefined }),
      onwait: (/** @type {number} */ waits) => this.#keep(nonce, { waits }),
      onlogin: () => this.#shut(room, true),
    };
    try {
      /** @type {any} */
      const message = await (!id ? chat.send({ text, name: name || undefined, reply_to }, sending)
        : change ? chat.change(id, change, sending) : chat.remove(id, sending));
      this.#shut(room, false);
      if (!id) learnMine(message);
      this.forget(nonce);
      if (message.deleted || (id && !change)) this.emit('gone', { ...draft, isDone: Boolean(id) });
      else this.emit('sent', { draft, message });
    } catch (/** @type {any} */ { code, status, message }) {
      if (signal.aborted) return;
      this.#shut(room, false);
      if (id && status === 404) { // so there is nothing left to change
        this.forget(nonce);
        this.emit('gone', { ...draft, isDone: true });
        return;
      }
      if (code === 'unsure' && id && change?.text === undefined) { // a repeat does no harm
        this.#keep(nonce, { tried: undefined });
        this.#deliver(/** @type {Draft} */ (this.#get(nonce)), signal);
        return;
      }
      const refused = /400|413|422/.test(status) ? message : undefined;
      this.#keep(nonce, { refused, error: code === 'unsure' ? say('unsure') : reason(status, message) });
    }
  }

  /** @param {string} room @param {boolean} isShut */
  #shut(room, isShut) {
    learn(`write ${room}`, isShut);
    this.#settle();
  }
}
