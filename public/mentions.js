// Mentions, an @ and a name: marks them, and counts those of the reader that are unread.
// Loaded with the first text that has an @.

import { make } from './dom.js';
import { isMine, names } from './drafts.js';
import { chat } from './history.js';
import { bubble } from './message.js';
import { visited } from './rooms.js';
import { compareIds, LOBBY } from './sse-chat.js';
import './annotations.js'; // its styles

// Korean particles may follow a name without a space, as in @김철수님에게. With other
// letters it is a longer name, such as @김철수민.
const end = /^(?:[님씨들께이가은는을를의에와과랑도만야아여로]|께서|에서|에게|한테|하고|으로|부터|까지){0,4}(?![\p{L}\p{M}\p{N}_]|[\-.@][\p{L}\p{N}])/u;

const me = (room = LOBBY) => names.get(room) || chat.you?.name || chat.name;

/** Who is there, or has written what is shown. */
export const others = (room = LOBBY) => [...new Set([...chat.presence.get(room)?.names ?? [],
  ...[...document.querySelectorAll('article .name:not(.nameless)')].map((tag) => tag.textContent ?? '')])].filter((name) => name !== me(room));

/** Unread ones, and whether a name of the reader is in them. @type {Map<string, {message: Message, name?: string, isMention?: boolean}>} */
const noted = new Map();

/** @param {any[]} messages */
export function note(messages) {
  for (const message of messages) {
    if (message.id && message.text?.includes('@')) noted.set(message.id, { message });
  }
}

/** @param {Message} message */
export const isMention = ({ room, text }) => bubble({ id: '', timestamp: 0, room, text }, false).querySelector('mark') !== null;

/** @param {Element} body @param {string} [room] */
export function mark(body, room) {
  if (!body.textContent?.includes('@')) return;
  const my = me(room).toLowerCase();
  // the longest first
  const known = [my, ...others(room).map((name) => name.toLowerCase())].filter(Boolean).sort((a, b) => b.length - a.length);
  /** @param {string} text @param {number} i */
  const marked = (text, i) => {
    const name = i && known.find((name) => text.toLowerCase().startsWith(name) && end.test(text.slice(name.length)));
    return name ? [make(name === my ? 'mark' : 'b', {}, `@${text.slice(0, name.length)}`), text.slice(name.length)] : (i ? '@' : '') + text;
  };
  /** @param {ParentNode} parent */
  const walk = ({ childNodes }) => [...childNodes].forEach((node) => {
    if (node instanceof Text) node.replaceWith(...node.data.split(/(?<![\w.+\-])@/).flatMap(marked));
    else if (node instanceof Element && !node.matches('a, code, pre')) walk(node);
  });
  walk(body);
}

/** What is said of those in a room, or in all. @param {string} [only] */
export function unread(only) {
  const read = new Map(visited());
  let count = 0;
  for (const [id, entry] of noted) {
    const { message } = entry;
    const { room = LOBBY } = message;
    const name = me(room);
    if (entry.name !== name) Object.assign(entry, { name, isMention: isMention(message) });
    if (compareIds(id, read.get(room) ?? id) <= 0) noted.delete(id);
    else if (room === (only ?? room) && entry.isMention && !isMine(message)) count++;
  }
  return count ? `@${count} · ` : '';
}
