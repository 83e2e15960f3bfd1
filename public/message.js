// The look of one message.

import { make } from './dom.js';
import { momentOf, say, timeOf } from './words.js';

/** Characters that change the direction of the text around them. */
const directions = /[\u202a-\u202e\u2066-\u2069]/g;

const LATE = 3000; // ms

/** Whether a name has a visible character. */
const visible = /[^\p{Z}\p{M}\p{C}]/u;

/** @param {string} name */
export function hueOf(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return String(hash);
}

/** @param {string} name @param {string} [otherwise] @param {string} [seed] of its colour */
export function nameTag(name, otherwise = say('nameless'), seed = name) {
  const shown = visible.test(name) ? name.replace(directions, '') : '';
  const tag = make('bdi', { class: 'name' }, shown || otherwise);
  if (shown) tag.style.setProperty('--hue', hueOf(seed));
  else tag.classList.add('nameless');
  return tag;
}

/** @param {number} timestamp */
function timeTag(timestamp) {
  const at = new Date(timestamp);
  return make('time', { dateTime: at.toISOString(), title: momentOf(at) }, timeOf(at));
}

/** What only text.js can show. */
const special = /[`*>]|~~|\/\/|www\.|\p{Emoji_Presentation}|\ufe0f|^[^]{120}|(\n.*){20}/iu;

/** @type {typeof import('./text.js')|undefined} */
let texts;

/** @type {(article: HTMLElement, message: Message) => void} */
let annotate = () => {};

/** @type {typeof import('./mentions.js')|undefined} */
export let mentions;

/** What the holders of author tags called themselves last. @type {Map<string, string>} */
export const authors = new Map();

/** Who was first seen with a name, by name. @type {Map<string, string>} */
const holders = new Map();

/** Loads the modules that messages need. After LATE they are shown without. @param {Partial<Message>[]} messages */
export async function prepare(messages) {
  const loading = [];
  if (messages.some(({ reply_to, reactions, edited }) => reply_to || reactions || edited)) loading.push(import('./annotations.js').then((parts) => ({ annotate } = parts)));
  if (!texts && messages.some(({ text = '' }) => special.test(text))) loading.push(import('./text.js').then((loaded) => texts = loaded));
  if (messages.some(({ text }) => text?.includes('@'))) loading.push(import('./mentions.js').then((loaded) => (mentions = loaded).note(messages)));
  if (loading.length) await Promise.race([Promise.allSettled(loading), new Promise((resolve) => setTimeout(resolve, LATE))]);
}

/** @param {Message} message @param {boolean} own */
export function bubble(message, own) {
  const { author = '', name = '' } = message;
  if (author) {
    authors.set(author, name);
    if (!holders.has(name)) holders.set(name, author);
  }
  const text = String(message.text ?? '').replace(directions, '');
  const body = make('div', { class: 'text', dir: 'auto' });
  const article = make('article', { class: own ? 'own' : '' },
    make('header', {}, nameTag(name, own ? say('you') : undefined, author && author !== holders.get(name) ? name + author : name), ' ', timeTag(message.timestamp)),
    body);
  annotate(article, message);
  const fill = () => {
    body.replaceChildren(text);
    texts?.dress(body, text, message.nonce || message.id);
    mentions?.mark(body, message.room);
  };
  fill();
  if ((!texts && special.test(text)) || (!mentions && text.includes('@'))) prepare([message]).then(fill);
  return article;
}
