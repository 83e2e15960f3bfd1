// The look of one message.

import { make } from './dom.js';
import { momentOf, say, timeOf } from './words.js';

/** Characters that change the direction of the text around them. */
const directions = /[\u202a-\u202e\u2066-\u2069]/g;

/** Whether a name has a visible character. */
const visible = /[^\p{Z}\p{M}\p{C}]/u;

/** @param {string} name */
export function hueOf(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return String(hash);
}

/** @param {string} name @param {string} [otherwise] */
export function nameTag(name, otherwise = say('nameless')) {
  const shown = visible.test(name) ? name.replace(directions, '') : '';
  const tag = make('bdi', { class: 'name' }, shown || otherwise);
  if (shown) tag.style.setProperty('--hue', hueOf(name));
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

/** @param {{text?: string}[]} messages to be shown */
export async function prepare(messages) {
  if (messages.some(({ text = '' }) => special.test(text))) texts ??= await import('./text.js').catch(() => undefined);
}

/** @param {Message} message @param {boolean} own */
export function bubble(message, own) {
  const text = String(message.text ?? '').replace(directions, '');
  const body = make('div', { class: 'text', dir: 'auto' }, text);
  const article = make('article', { class: own ? 'own' : '' },
    make('header', {}, nameTag(message.name ?? '', own ? say('you') : undefined), ' ', timeTag(message.timestamp)),
    body);
  const dress = () => texts?.dress(body, text, message.nonce || message.id);
  if (texts) dress();
  else prepare([message]).then(dress);
  return article;
}
