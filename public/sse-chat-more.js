// The parts of the client that it does not need at once: the list of messages with changes
// applied, sending until a message is stored or refused, and why there is no stream.

import { compareIds, isStream, LOBBY, wantsLogin } from './sse-chat.js';

/** @import { ApplyChange, Deliver, Explain, Listing, Message, Sink, State } from './sse-chat.js' */

const LONGEST_PAGE = 200;
const LONGEST_DELAY = 30_000; // ms
const LONGEST_ANSWER = 20_000;
const NONCE_LASTS = 9 * 60_000; // the server's 10, less a margin
const LONGEST_PAUSE = 3_600_000;
const FOREVER = 2 ** 31 - 1; // the longest timer, 24.8 days
const LONGEST_RETURN = 300; // s

/** @type {ApplyChange} */
export function applyChange(message, { append, at = 0, ...change }) {
  const { text = '', edited = 0 } = message;
  if ((change.edited ?? edited) < edited) return message;
  if (append === undefined) return { ...message, ...change };
  return at > text.length ? undefined : { ...message, ...change, text: text.slice(0, at) + append };
}

/** Events with other ids, or without one, are no messages. @param {any} data @param {string} [id] */
const isMessage = (data, id) => Boolean(id) && data?.id === id;

/** @type {Listing} */
export function listing(chat, most, emit) {
  const list = new MessageList(chat, most, emit);
  return (...event) => list.receive(...event);
}

/** Sets the messages of a chat before it emits their events. */
class MessageList {
  /** @type {Parameters<Sink>[]|undefined} what arrives while a gap is repaired */
  #held;
  /** @type {any} a gap that could not be repaired everywhere */
  #open;
  /** What was emitted before the gap. @type {Set<string>} */
  #emitted = new Set();

  /** @param {Parameters<Listing>[0]} chat @param {number} most @param {Sink} emit */
  constructor(chat, most, emit) {
    this.chat = chat;
    this.most = most;
    this.emit = emit;
    // this file came late, and messages may have come before it
    if (chat.state !== 'closed') this.#repair({ reason: 'unknown', oldest: '' });
  }

  /** @type {Sink} */
  receive(type, data, id = '') {
    if (this.#held && type !== 'statechange') {
      this.#held.push([type, data, id]);
    } else if (type === 'gap') {
      this.#repair(data);
    } else {
      this.#apply(type, data, id);
      // after a gap, the server may send again what it cannot tell from new messages
      if (!isMessage(data, id) || !this.#emitted.delete(id)) this.emit(type, data, id);
      if (type === 'live' && this.#open) this.#repair(this.#open);
    }
  }

  /** @param {string} type @param {any} data @param {string} [eventId] */
  #apply(type, data, eventId) {
    const { id, through = '' } = data ?? {};
    const all = this.chat.messages;
    if (isMessage(data, eventId)) {
      const i = all.findLastIndex((message) => compareIds(message.id, id) < 0) + 1;
      this.#set(all.toSpliced(i, all[i]?.id === id ? 1 : 0, data));
    } else if (type === 'change') {
      this.#set(all.map((message) => (message.id === id ? applyChange(message, data) ?? message : message)));
    } else if (type === 'delete') {
      this.#set(all.filter((message) => (id ? message.id !== id : message.room !== data.room || compareIds(message.id, through) > 0)));
    }
  }

  /** @param {Message[]} messages */
  #set(messages) {
    this.chat.messages = messages.slice(-this.most);
  }

  /** What is in the list may have changed, or be gone. @param {any} gap */
  async #repair(gap) {
    const { chat } = this;
    const held = this.#held = /** @type {Parameters<Sink>[]} */ ([]);
    this.#emitted = new Set(chat.messages.map(({ id }) => id));
    const limit = Math.min(LONGEST_PAGE, this.most);
    /** @type {Set<string>} */
    const fetched = new Set();
    this.#open = undefined;
    const pages = await Promise.all(chat.rooms.map(async (room) => {
      if (chat.refused.has(room)) return [];
      try {
        const { messages } = await chat.history({ room, limit });
        fetched.add(room);
        return messages;
      } catch (/** @type {any} */ { status = 500 }) {
        if (status >= 500) this.#open = gap;
        return [];
      }
    }));
    // the rooms that gave no answer stay as they are
    const rest = chat.messages.filter(({ room = LOBBY }) => !fetched.has(room));
    this.#set([...rest, ...pages.flat()].sort((a, b) => compareIds(a.id, b.id)));
    this.#held = undefined;
    if (chat.state === 'closed') return;
    this.emit('gap', gap);
    for (const event of held) this.receive(...event);
  }
}

const isOffline = () => globalThis.navigator?.onLine === false;

/** @type {Deliver} */
export async function deliver(post, waits, until, { nonce = crypto.getRandomValues(new Uint32Array(4)).join('-'), since = 0, onattempt = () => {}, onwait = () => {}, onlogin }) {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': nonce };
  for (let failures = 0; ; failures++) {
    until.throwIfAborted();
    const now = Date.now();
    const wasOffline = isOffline();
    if (since && Math.abs(now - since) > NONCE_LASTS) throw Object.assign(new Error('it may have been stored'), { code: 'unsure', status: 0 });
    if (!since) onattempt(since = now);
    let pause = 0;
    try {
      // with keepalive it may outlive the page; browsers limit that, so the next may not
      return await post({ headers, keepalive: failures % 2 === 0, signal: AbortSignal.any([until, AbortSignal.timeout(LONGEST_ANSWER)]) });
    } catch (/** @type {any} */ error) {
      until.throwIfAborted();
      const { code, status, retryAfter } = error; // a network error has no status
      const isCertain = status === undefined ? wasOffline && isOffline() : status < 500;
      if (isCertain && since === now) onattempt(since = 0); // it is not stored
      if (code === 'login' && onlogin) {
        onlogin(error);
        if (status === 401) pause = FOREVER; // browsers ask for it themselves
      } else {
        if (status < 500 && status !== 429) throw error;
        pause = Math.min(retryAfter || 0, LONGEST_PAUSE);
        if (pause) onwait(Date.now() + pause);
      }
    }
    const most = Math.min(LONGEST_DELAY, 500 * 2 ** failures);
    await wait(Math.max(pause, most * (0.5 + Math.random() / 2)), until, pause % FOREVER === 0 ? waits : undefined);
  }
}

/** @param {number} ms @param {AbortSignal} until @param {EventTarget} [waits] */
async function wait(ms, until, waits) {
  const over = new AbortController();
  const { signal } = over;
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.onabort = () => clearTimeout(timer);
    until.addEventListener('abort', resolve, { signal });
    waits?.addEventListener('live', resolve, { signal });
  });
  over.abort();
}

/** The Retry-After of a 503 in milliseconds, longer at random so that clients do not return together, or -1. @param {Response} answer */
function delayOf({ status, headers }) {
  const seconds = parseInt(headers.get('Retry-After') ?? '', 10);
  return status === 503 && seconds >= 0 ? 1000 * Math.min(LONGEST_RETURN, seconds) * (1 + Math.random()) : -1;
}

/** Undefined if the answer is a stream, or may soon be one. @param {Response} answer @param {boolean} wasThere @returns {State|undefined} */
function reasonOf(answer, wasThere) {
  const { ok, status } = answer;
  if (wantsLogin(answer)) return 'login';
  if (status === 204) return 'removed'; // forever
  if (delayOf(answer) >= 0) return 'full';
  if (isStream(answer)) return undefined;
  if (ok || status === 404) return ok && wasThere ? 'login' : 'absent';
  return status < 500 && status !== 408 && status !== 429 ? 'refused' : undefined;
}

/** @type {Explain} */
export async function explain(answer, wasThere, rooms, ask) {
  const reason = reasonOf(answer, wasThere);
  /** @type {[string, State][]} */
  const refusing = [];
  if (reason && reason !== 'full' && rooms.length > 1) {
    await Promise.all(rooms.map(async (room) => {
      const there = await ask(room).catch(() => null);
      const why = there && reasonOf(there, wasThere);
      if (why && why !== 'full') refusing.push([room, why === 'login' ? why : 'refused']);
    }));
  }
  return [reason, refusing.length < rooms.length ? refusing : [], delayOf(answer)];
}
