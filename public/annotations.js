// Annotations of a message: the quoted message of a reply, "edited", and reactions. Loaded
// with the first annotated message.

import { make } from './dom.js';
import { isMine, me } from './drafts.js';
import { chat, fetchPage, justBefore } from './history.js';
import { authors, nameTag } from './message.js';
import { LOBBY } from './sse-chat.js';
import { styled } from './styles.js';
import { momentOf, say, timeOf } from './words.js';

const LONGEST_QUOTE = 200;

await styled('annotations.css');

/** @param {HTMLElement} article @param {Message} message */
export function annotate(article, message) {
  const { reply_to: to, edited, reactions = {}, room = LOBBY } = message;
  if (to) article.querySelector('.text')?.before(quote(to, room));
  if (edited) article.append(make('small', { class: 'edited', title: momentOf(new Date(edited)) }, `${say('edited')} ${timeOf(new Date(edited))}`));
  const chips = Object.entries(reactions).map(([emoji, { count, by }]) => chip(emoji, count, by, room));
  if (chips.length) article.append(make('div', { class: 'reactions' }, ...chips));
}

/** @param {string} emoji @param {number} count @param {string[]} by @param {string} room */
function chip(emoji, count, by, room) {
  const my = me(room);
  // author tags, unless the server names its readers
  const who = by.map((one) => (one === my ? say('you') : authors.get(one) || (chat.you?.name ? one : say('nameless'))));
  if (count > by.length) who.push(say('others', count - by.length));
  const title = `${emoji} ${count}: ${who.join(', ')}`;
  return make('button', { type: 'button', class: 'reaction', title, 'aria-label': title, 'aria-pressed': String(by.includes(my)), 'data-emoji': emoji }, `${emoji} ${count}`);
}

/** @param {string} id @param {string} room */
function quote(id, room) {
  const button = make('button', { type: 'button', class: 'quote', 'data-to': id }, '…');
  // rows of the same batch are in the page by then
  setTimeout(async () => {
    const row = document.querySelector(`#messages > [data-id="${id}"]`);
    const name = row?.querySelector('.name')?.cloneNode(true);
    const text = row?.querySelector('.text')?.textContent;
    if (name) button.replaceChildren(name, ' ', make('bdi', {}, (text ?? '').slice(0, LONGEST_QUOTE)));
    else button.replaceChildren(...await fetchQuote(id, room));
  });
  return button;
}

/** Redraws quotes of a message that has changed or is gone. @param {string} id @param {string} [room] */
export function requote(id, room = LOBBY) {
  fetched.delete(id);
  for (const button of document.querySelectorAll(`.quote[data-to="${id}"]`)) button.replaceWith(quote(id, room));
}

/** @type {Map<string, Promise<Page|null>>} */
const fetched = new Map();

/** @param {string} id @param {string} room */
async function fetchQuote(id, room) {
  const asked = fetched.get(id) ?? fetchPage(room, { after: justBefore(id), limit: 1 });
  fetched.set(id, asked);
  const page = await asked;
  if (!page) fetched.delete(id); // the server is away
  const message = page?.messages.find((message) => message.id === id);
  if (!message) return [page ? say('lost') : '…'];
  const { name = '', text = '' } = message;
  return [nameTag(name, isMine(message) ? say('you') : undefined), ' ', make('bdi', {}, text.slice(0, LONGEST_QUOTE))];
}
