// What is written and not yet acknowledged: sent in order, one at a time in
// each room, kept over a reload, and repeated with the same nonce until the
// server has answered, so that nothing is lost and nothing comes twice.

import { endpoint } from './address.js';
import { Source } from './dom.js';
import { fetchPage } from './history.js';
import { everywhere, here, onChange } from './remember.js';
import { reason, say } from './words.js';

const KEY = 'outbox';
const LONGEST_DELAY = 30_000;
const LONGEST_ANSWER = 20_000;
/** How long a server knows a nonce, with a minute to spare. */
const NONCE_LASTS = 9 * 60_000;

/** Emits `pending`, `failed` and `deleted` with a draft, and `sent` {draft, message}. */
export class Outbox extends Source {
  /** @type {Draft[]} */
  #drafts = here.get(KEY, []);
  /** Rooms in which one is under way. @type {Set<string>} */
  #busy = new Set();
  /** @type {Set<() => void>} */
  #waits = new Set();

  constructor() {
    super();
    addEventListener('online', () => this.hurry());
  }

  /** @param {string} room */
  in(room) {
    return this.#drafts.filter((draft) => draft.room === room);
  }

  /** @param {string} [nonce] */
  has(nonce) {
    return this.#drafts.some((draft) => draft.nonce === nonce);
  }

  /** @param {string} room @param {string} text @param {string} name */
  write(room, text, name) {
    const draft = { room, text, name, nonce: newNonce() };
    this.#drafts.push(draft);
    this.#keep();
    this.emit('pending', draft);
    this.#send(room);
  }

  /** Sends what an earlier life of the page has left. */
  start() {
    for (const room of new Set(this.#drafts.map((draft) => draft.room))) this.#send(room);
  }

  /** There is a connection again. */
  hurry() {
    for (const wake of this.#waits) wake();
  }

  /** @param {string} nonce */
  again(nonce) {
    const draft = this.#drafts.find((d) => d.nonce === nonce);
    if (!draft) return;
    delete draft.error;
    delete draft.tried; // the reader has decided
    // behind those that were written later and did not fail
    this.#drafts = [...this.#drafts.filter((d) => d !== draft), draft];
    this.#keep();
    this.emit('pending', draft);
    this.#send(draft.room);
  }

  /** @param {string} [nonce] */
  forget(nonce) {
    if (!this.has(nonce)) return;
    this.#drafts = this.#drafts.filter((draft) => draft.nonce !== nonce);
    this.#keep();
    this.hurry(); // those behind it need not wait any longer
  }

  #keep() {
    here.set(KEY, this.#drafts);
  }

  /** @param {string} room */
  async #send(room) {
    if (this.#busy.has(room)) return;
    this.#busy.add(room);
    for (let draft; (draft = this.in(room).find((d) => !d.error));) await this.#deliver(draft);
    this.#busy.delete(room);
  }

  /** @param {Draft} draft */
  async #deliver(draft) {
    for (let failures = 0; this.has(draft.nonce); failures++) {
      const pause = await this.#attempt(draft);
      if (pause === 0) return;
      const most = Math.min(LONGEST_DELAY, 500 * 2 ** failures);
      await this.#wait(Math.max(pause, most * (0.5 + Math.random() / 2)), pause === 1);
    }
  }

  /**
   * @param {Draft} draft
   * @returns {Promise<number>} to wait, 0 if done, 1 for the network
   */
  async #attempt(draft) {
    if (draft.tried && Date.now() - draft.tried > NONCE_LASTS) return this.#find(draft);
    draft.tried ??= Date.now();
    this.#keep();
    const answer = await post(draft);
    if (answer?.ok) {
      const message = await answer.json().catch(() => null);
      if (!message?.id) return 1; // not from the chat; a network that wants a login
      if (message.deleted) this.#deleted(draft);
      else this.#sent(draft, message);
      return 0;
    }
    if (answer && answer.status < 500 && answer.status !== 429) {
      const { error } = await answer.json().catch(() => ({}));
      this.#fail(draft, reason(answer.status, error));
      return 0;
    }
    return 1000 * Number(answer?.headers.get('Retry-After') ?? 0) || 1;
  }

  /**
   * The server may have got it so long ago that it would take a repetition for
   * another message. So what it has is looked through first.
   * @param {Draft} draft
   */
  async #find(draft) {
    const page = await fetchPage(draft.room, { limit: 200 });
    if (!page) return 1;
    const message = page.messages.find((m) => m.nonce === draft.nonce);
    const isAllThere = !page.more || page.messages[0].timestamp < (draft.tried ?? 0) - NONCE_LASTS;
    if (message) this.#sent(draft, message);
    else if (!isAllThere) this.#fail(draft, say('unsure'));
    else delete draft.tried;
    return message || !isAllThere ? 0 : 1;
  }

  /** @param {Draft} draft @param {Message} message */
  #sent(draft, message) {
    this.forget(draft.nonce);
    this.emit('sent', { draft, message });
  }

  /** It was stored, and is gone again. @param {Draft} draft */
  #deleted(draft) {
    this.forget(draft.nonce);
    this.emit('deleted', draft);
  }

  /** @param {Draft} draft @param {string} error */
  #fail(draft, error) {
    draft.error = error;
    this.#keep();
    this.emit('failed', draft);
  }

  /** @param {number} ms @param {boolean} forNetwork */
  #wait(ms, forNetwork) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waits.delete(wake);
        resolve(undefined);
      };
      const timer = setTimeout(wake, ms);
      if (forNetwork) this.#waits.add(wake);
    });
  }
}

/** @param {Draft} draft */
async function post({ room, text, name, nonce }) {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), LONGEST_ANSWER);
  try {
    return await fetch(endpoint('update', room), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(name ? { text, name, nonce } : { text, nonce }),
      signal: timeout.signal,
    });
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** 128 random bits, also where there is no crypto.randomUUID. */
function newNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// ——— what the reader has written, in whichever tab ———

const MINE = 'mine';
const MOST_MINE = 500;

/** @type {Set<string>} */
let written = new Set(everywhere.get(MINE, []));

onChange(MINE, () => {
  written = new Set(everywhere.get(MINE, []));
});

/** @param {string} nonce */
export function remember(nonce) {
  if (written.has(nonce)) return;
  written.add(nonce);
  everywhere.set(MINE, [...written].slice(-MOST_MINE));
}

/** @param {{nonce?: string}} message */
export const isMine = ({ nonce }) => nonce !== undefined && written.has(nonce);
