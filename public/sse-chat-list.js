// The newest messages of a chat with their changes applied. sse-chat.js loads this file,
// unless the option keep is 0.

import { compareIds } from './sse-chat.js';

/** @import { Change, ChatMembers, Message } from './sse-chat.js' */
/** @typedef {(type: string, data: any, id?: string, isMessage?: boolean) => void} Sink of events */

const LONGEST_PAGE = 200;

/**
 * Returns the message with a change, itself if it has a later one already, or undefined
 * if a change before it is missing.
 * @param {Message} message
 * @param {Change} change
 */
export function applyChange(message, { append, at = 0, ...change }) {
  const { text = '', edited = 0 } = message;
  if ((change.edited ?? edited) < edited) return message;
  if (append === undefined) return { ...message, ...change };
  return at > text.length ? undefined : { ...message, ...change, text: text.slice(0, at) + append };
}

/** Sets the messages of a chat before it emits their events. */
export class MessageList {
  /** @type {Parameters<Sink>[]|undefined} what arrives while a gap is repaired */
  #held;
  /** What was emitted before the gap. @type {Set<string>} */
  #emitted = new Set();

  /** @param {ChatMembers & {messages: Message[]}} chat @param {number} most @param {Sink} emit */
  constructor(chat, most, emit) {
    this.chat = chat;
    this.most = most;
    this.emit = emit;
  }

  /** @type {Sink} */
  receive(type, data, id = '', isMessage = false) {
    if (this.#held && type !== 'statechange') {
      this.#held.push([type, data, id, isMessage]);
    } else if (type === 'gap') {
      this.#repair(data);
    } else {
      this.#apply(type, data, isMessage);
      // after a gap, the server may send again what it cannot tell from new messages
      if (!isMessage || !this.#emitted.delete(id)) this.emit(type, data, id);
    }
  }

  /** @param {string} type @param {any} data @param {boolean} isMessage */
  #apply(type, data, isMessage) {
    const { id, through = '' } = data ?? {};
    const all = this.chat.messages;
    if (isMessage) {
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
    try {
      const limit = Math.min(LONGEST_PAGE, this.most);
      const pages = await Promise.all(chat.rooms.map((room) => chat.history({ room, limit })));
      this.#set(pages.flatMap(({ messages }) => messages).sort((a, b) => compareIds(a.id, b.id)));
    } catch { /* it stays as it is */ }
    this.#held = undefined;
    if (chat.state === 'closed') return;
    this.emit('gap', gap);
    for (const event of held) this.receive(...event);
  }
}
