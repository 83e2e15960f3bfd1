// The newest messages of a chat with their changes applied. sse-chat.js loads this file,
// unless the option keep is 0.

import { applyChange, compareIds, LOBBY } from './sse-chat.js';

/** @import { ChatMembers, Message } from './sse-chat.js' */
/** @typedef {(type: string, data: any, id?: string) => void} Sink of events */

const LONGEST_PAGE = 200;

/** Events with other ids, or without one, are no messages. @param {any} data @param {string} [id] */
const isMessage = (data, id) => Boolean(id) && data?.id === id;

/**
 * Returns where the events of a chat go from now on.
 * @param {ChatMembers & {messages: Message[]}} chat @param {number} most @param {Sink} emit
 * @returns {Sink}
 */
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

  /** @param {ChatMembers & {messages: Message[]}} chat @param {number} most @param {Sink} emit */
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
