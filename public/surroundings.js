// What stands around the text of some messages: what it answers, that it was edited, and
// reactions. Loaded with the first such message.

import { make } from './dom.js';
import { isMine, me } from './drafts.js';
import { chat, fetchPage, justBefore } from './history.js';
import { authors, nameTag } from './message.js';
import { LOBBY } from './sse-chat.js';
import { momentOf, say, timeOf } from './words.js';

const LONGEST_QUOTE = 200;

/** Loads styles of this folder. @param {string} file */
export function styled(file) {
  const styles = make('link', { rel: 'stylesheet', href: new URL(file, import.meta.url).href });
  document.head.append(styles);
  return new Promise((resolve) => {
    styles.onload = styles.onerror = resolve;
  });
}

await styled('surroundings.css');

/** @param {HTMLElement} article @param {Message} message */
export function surround(article, message) {
  const { reply_to: to, edited, reactions = {}, room = LOBBY } = message;
  if (to) article.querySelector('.text')?.before(quote(to, room));
  if (edited) article.append(make('small', { class: 'edited', title: momentOf(new Date(edited)) }, `${say('edited')} ${timeOf(new Date(edited))}`));
  const chips = Object.entries(reactions).map(([emoji, { count, by }]) => chip(emoji, count, by, room));
  if (chips.length) article.append(make('div', { class: 'reactions' }, ...chips));
}

/** @param {string} emoji @param {number} count @param {string[]} by @param {string} room */
function chip(emoji, count, by, room) {
  const my = me(room);
  // without names from the server, they are tags of keys
  const who = by.map((one) => (one === my ? say('you') : authors.get(one) || (chat.you?.name ? one : say('nameless'))));
  if (count > by.length) who.push(say('others', count - by.length));
  const title = `${emoji} ${count}: ${who.join(', ')}`;
  return make('button', { type: 'button', class: 'reaction', title, 'aria-label': title, 'aria-pressed': String(by.includes(my)), 'data-emoji': emoji }, `${emoji} ${count}`);
}

/** @param {string} id @param {string} room */
function quote(id, room) {
  const text = make('span', {}, '…');
  const button = make('button', { type: 'button', class: 'quote', 'data-to': id }, text);
  quoted(id, room).then((message) => {
    if (message) text.replaceWith(nameTag(message.name ?? '', isMine(message) ? say('you') : undefined), ' ', make('bdi', {}, (message.text ?? '').slice(0, LONGEST_QUOTE)));
    else text.textContent = say('lost');
  });
  return button;
}

/** @type {Map<string, Promise<Message|undefined>>} */
const found = new Map();

/** A message that was quoted has changed, or is gone. @param {string} id @param {string} [room] */
export function requote(id, room = LOBBY) {
  found.delete(id);
  for (const button of document.querySelectorAll(`.quote[data-to="${id}"]`)) button.replaceWith(quote(id, room));
}

/** @param {string} id @param {string} room */
function quoted(id, room) {
  const known = found.get(id) ?? fetchPage(room, { after: justBefore(id), limit: 1 }).then((page) => page?.messages.find((message) => message.id === id));
  found.set(id, known);
  return known;
}
