// The page's chat, whose its messages are, and how they look.

import { everywhere, isText, load, make, momentOf, say, timeOf } from './browser.js';
import { Chat, LOBBY } from './sse-chat.js';

/** Unguessable, of so many times 32 bits. */
export const random = (words = 4) => crypto.getRandomValues(new Uint32Array(words)).join('-');

// the secret that this browser sends with its messages, and that lets it change them
const KEY = 'author key';
const authorKey = everywhere.get(KEY, random(6), (key) => /^[\w-]{22,128}$/.test(key));
everywhere.set(KEY, authorKey);

const bytes = new TextEncoder().encode(`author ${authorKey}`);
// browsers have no SHA-256 for pages that came over plain HTTP
const hash = await (crypto.subtle?.digest('SHA-256', bytes) ?? import('./sha256.js').then(({ sha256 }) => sha256(bytes), () => new Uint8Array(0)));

/** The public tag that the server derives from it; '' if sha256.js could not be loaded. */
export const author = btoa(String.fromCharCode(...new Uint8Array(hash))).slice(0, 11).replaceAll('+', '-').replaceAll('/', '_');

// over HTTP/1.1, tabs share a stream
export const chat = new Chat({ rooms: [], keep: 0, shareTabs: 'http1', author, authorKey });

/** The reader's name from the server, by room. @type {Map<string, string>} */
export const names = new Map();

/** The reader as named in reactions. */
export const me = (room = LOBBY) => names.get(room) || author;

export const ANSWERED = 'answered';
/** Own messages that have no author tag, because a login replaced the key. */
export const answered = new Set(everywhere.list(ANSWERED, isText));

/** The keys of what outbox.js keeps. */
export const DRAFTS = 'outbox ';

/** Anyone can copy a nonce or a chosen name, so neither counts. @param {Message} message */
export const isMine = ({ room = LOBBY, id, name, author: by }) => (by ? by === author : answered.has(id)) || (Boolean(name) && name === names.get(room));

/** Reading or writing in a room that needs a login: `read lobby`. @type {Set<string>} */
export const shut = new Set();

/** @param {string} what @param {boolean} isShut */
export function learn(what, isShut) {
  if (isShut === shut.has(what)) return;
  if (isShut) shut.add(what);
  else shut.delete(what);
  chat.dispatchEvent(new Event('statechange'));
}

/** An id after which a message is the first one. @param {string} id */
export function justBefore(id) {
  const [ms, n = 0] = id.split('-').map(Number);
  return n ? `${ms}-${n - 1}` : `${ms - 1}-${Number.MAX_SAFE_INTEGER}`;
}

export const PAGE = 50;

/** Of a room's messages. @param {string} room @param {{before?: string, after?: string, limit?: number}} [query] */
export async function fetchPage(room, query) {
  try {
    const page = await chat.history({ room, limit: PAGE, ...query });
    learn(`read ${room}`, false);
    await prepare(page.messages);
    return page;
  } catch (/** @type {any} */ { code }) {
    if (code) learn(`read ${room}`, code === 'login');
    return null; // the stream reports the error
  }
}

/** @type {typeof import('./special.js')|undefined} */
export let special;
/** @type {Promise<typeof import('./special.js')>|undefined} */
let loading;
/** @returns {Promise<typeof import('./special.js')>} */
export const loadSpecial = () => loading ??= load('./special.js').then((loaded) => special = loaded);

const LATE = 3000; // ms
const marks = /[`*>@]|~~|\/\/|www\.|\p{Emoji_Presentation}|\ufe0f|^[^]{120}|(\n.*){20}/iu;


/** @param {Partial<Message>} message */
const isSpecial = ({ text = '', reply_to, reactions, edited }) => Boolean(reply_to || reactions || edited) || marks.test(text);

/** Loads what messages need. After LATE they are shown without. @param {Partial<Message>[]} messages */
export async function prepare(messages) {
  if (!messages.some(isSpecial)) return;
  await Promise.race([loadSpecial().then(({ note }) => note(messages)), new Promise((resolve) => setTimeout(resolve, LATE))]);
}

/** Characters that change the direction of the text around them. */
const directions = /[\u202a-\u202e\u2066-\u2069]/g;
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

/** What the holders of author tags called themselves last. @type {Map<string, string>} */
export const authors = new Map();

/** Who was first seen with a name, by name. @type {Map<string, string>} */
const holders = new Map();

/** @param {Message} message @param {boolean} own */
export function bubble(message, own) {
  const { author = '', name = '', timestamp } = message;
  if (author) {
    authors.set(author, name);
    if (!holders.has(name)) holders.set(name, author);
  }
  const text = String(message.text ?? '').replace(directions, '');
  const at = new Date(timestamp);
  const body = make('div', { class: 'text', dir: 'auto' });
  const article = make('article', { class: own ? 'own' : '' },
    make('header', {}, nameTag(name, own ? say('you') : undefined, author && author !== holders.get(name) ? name + author : name), ' ',
      make('time', { dateTime: at.toISOString(), title: momentOf(at) }, timeOf(at))),
    body);
  const fill = () => {
    body.replaceChildren(text);
    special?.dress(body, text, message);
  };
  fill();
  if (!special && isSpecial(message)) prepare([message]).then(fill);
  return article;
}
