// How one message looks.

import { make } from './dom.js';
import { momentOf, say, timeOf } from './words.js';

// only ASCII belongs to an address, so that what is glued to it in other
// scripts, as Korean particles are, does not become part of it
const address = /\bhttps?:\/\/[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+/g;

const onlyEmoji = /^(?:\p{RGI_Emoji}\s*){1,8}$/v;

/** What turns the direction of the text around it. */
const directions = /[\u202a-\u202e\u2066-\u2069]/g;

/** What can be seen of a name. */
const visible = /[^\p{Z}\p{M}\p{C}]/u;

/**
 * Built of nodes, so that nothing in a text can become markup.
 * @param {string} text
 * @returns {(Node|string)[]}
 */
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(address)) {
    const url = trimmed(match[0]);
    if (!URL.canParse(url)) continue;
    nodes.push(text.slice(end, match.index), make('a', { href: url, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, url));
    end = match.index + url.length;
  }
  nodes.push(text.slice(end));
  return nodes;
}

/** @param {string} url */
function trimmed(url) {
  for (;;) {
    const last = url.at(-1) ?? '';
    const opens = { ')': '(', ']': '[' }[last];
    if (opens ? url.split(opens).length >= url.split(last).length : !'.,!?;:\'"*'.includes(last)) return url;
    url = url.slice(0, -1);
  }
}

/** @param {string} name */
export function hueOf(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return String(hash);
}

/** @param {string} name @param {string} [otherwise] @returns {HTMLElement} */
export function nameTag(name, otherwise = say('nameless')) {
  const shown = visible.test(name) ? name.replace(directions, '') : '';
  const tag = make('bdi', { class: 'name' }, shown || otherwise);
  if (shown) tag.style.setProperty('--hue', hueOf(name));
  else tag.classList.add('nameless');
  return tag;
}

/** @param {number} timestamp @returns {HTMLElement} */
function timeTag(timestamp) {
  const at = new Date(timestamp);
  return make('time', { dateTime: at.toISOString(), title: momentOf(at) }, timeOf(at));
}

/** @param {Message} message @param {boolean} own @returns {HTMLElement} */
export function bubble(message, own) {
  const text = message.text.replace(directions, '');
  const body = make('p', { class: 'text', dir: 'auto' }, ...linked(text));
  if (onlyEmoji.test(text.trim())) body.classList.add('emoji');
  return make('article', { class: own ? 'own' : '' },
    make('header', {}, nameTag(message.name ?? '', own ? say('you') : undefined), ' ', timeTag(message.timestamp)),
    body);
}
