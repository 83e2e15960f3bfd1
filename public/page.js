// What the parts of the page share: elements, later files, storage, texts, times, the chat,
// and the look of a message.

import { Chat, LOBBY } from './sse-chat.js';

/** `class` and names with a hyphen are attributes, others are properties. @type {Make} */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'class') element.className = value;
    else if (name.includes('-')) element.setAttribute(name, value);
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children);
  return element;
}

/** @type {MakeButton} */
export const button = (text, onclick, more) => make('button', { type: 'button', class: 'quiet', onclick, ...more }, text);

/** @type {Find} */
export function find(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return /** @type {any} */ (element);
}

export const isTouch = () => matchMedia('(hover: none) and (pointer: coarse)').matches;

/** On a touch screen, Enter is a new line. @param {KeyboardEvent} event */
export const sends = ({ key, shiftKey, ctrlKey, altKey, metaKey }) => key === 'Enter' && !(shiftKey || ctrlKey || altKey || metaKey || isTouch());

/** What had the focus in it has it again. @param {HTMLElement} element @param {() => void} change */
export function keepFocus(element, change) {
  const controls = () => [...element.querySelectorAll('a, button')];
  const i = controls().findIndex((control) => control === document.activeElement);
  change();
  if (i < 0 || element.contains(document.activeElement)) return;
  const { [i]: same = element } = /** @type {HTMLElement[]} */ (controls());
  element.tabIndex = -1;
  same.focus({ preventScroll: true });
}

export class Source extends EventTarget {
  /** @param {string} type @param {any} [detail] */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {string} type @param {(detail: any) => void} listener */
  on(type, listener) {
    this.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
  }
}

/** @type {Map<string, Promise<any>>} */
const loaded = new Map();

/** @returns {Promise<any>} */
const loading = (file = '', address = file) => import(address).catch(async () => { // a failed address may fail forever
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return loading(file, `${file}?${Date.now()}`);
});

/** Once, however long the server is away. */
export function load(file = '') {
  if (!loaded.has(file)) loaded.set(file, loading(file));
  return /** @type {Promise<any>} */ (loaded.get(file));
}

/** @type {Promise<unknown>|undefined} */
let styles;

/** Waits for the styles of later parts, because late ones would move rows. */
export const styled = () => styles ??= new Promise((resolve) => {
  document.head.append(make('link', { rel: 'stylesheet', href: new URL('later.css', import.meta.url).href, onload: resolve, onerror: resolve }));
});

/** Separates the chats of a site. */
export const PLACE = `sse-chat ${new URL('.', document.baseURI).pathname} `;

/** Tries what browsers may forbid. @template T @param {() => T} what */
export function attempt(what) {
  try {
    return what();
  } catch {
    return undefined;
  }
}

/** @param {() => Storage} storage @returns {Memory} */
function memory(storage) {
  /** What the browser does not keep, the page does. @type {Map<string, string>} */
  const refused = new Map();
  return {
    get(key, otherwise, fits = (value) => typeof value === typeof otherwise) {
      const value = attempt(() => JSON.parse(refused.get(key) ?? storage().getItem(PLACE + key) ?? ''));
      return attempt(() => fits(value)) ? value : otherwise;
    },

    list(key, fits) {
      return this.get(key, [], Array.isArray).filter((value) => attempt(() => fits(value)));
    },

    set(key, value) {
      refused.delete(key);
      if (value === undefined) {
        attempt(() => storage().removeItem(PLACE + key));
        return;
      }
      const text = JSON.stringify(value);
      attempt(() => storage().setItem(PLACE + key, text));
      if (attempt(() => storage().getItem(PLACE + key)) !== text) refused.set(key, text);
    },

    keys(prefix) {
      const all = [...refused.keys()].map((key) => PLACE + key).concat(attempt(() => Object.keys(storage())) ?? []);
      return [...new Set(all)].filter((key) => key.startsWith(PLACE + prefix)).map((key) => key.slice(PLACE.length));
    },
  };
}

export const everywhere = memory(() => localStorage);
export const here = memory(() => sessionStorage);

/** @param {unknown} value */
export const isText = (value) => typeof value === 'string';

/** Changes in other tabs. @param {string} prefix of keys @param {() => void} listener */
export function onChange(prefix, listener) {
  addEventListener('storage', ({ key }) => (key ?? PLACE + prefix).startsWith(PLACE + prefix) && listener());
}

// which rooms are valid, as in internal/wire: a test compares both
export const invisible = String.raw`[\p{Default_Ignorable_Code_Point}\u2800\u2d7f\ufffc\ufffd\u{1107f}\u{13441}\u{13442}\u{16fe4}\u{1bc9d}\u{1d159}]`;
export const letter = String.raw`[[\p{L}\p{M}\p{Nd}_.\-]--${invisible}]`;
const room = new RegExp(`^${letter}{1,64}$`, 'v');

/** The typed room, normalized, or ''. @param {string} typed */
export function roomName(typed) {
  const name = typed.trim().normalize('NFC');
  return room.test(name) ? name : '';
}

const wanted = [new URLSearchParams(location.search).get('lang'), ...navigator.languages];

export const lang = /\b(en|ko)\b/.exec(wanted.join())?.[0] ?? 'en';

/** @type {Record<string, string>} */
const words = (await import(`./${lang}.js`)).default;
const plural = new Intl.PluralRules(lang);

/** @param {string} word @param {...(string|number)} values */
export function say(word, ...values) {
  return (words[word] ?? word).replace(/\{(\d)\}/g, (_, i) => String(values[i]));
}

/** @param {string} word @param {number} count */
export function sayCount(word, count) {
  return say(`${word}_${plural.select(count)}`, count.toLocaleString(lang));
}

// the browser's language may be another, or invalid
const hourCycle = attempt(() => new Intl.DateTimeFormat(navigator.language, { hour: 'numeric' }).resolvedOptions().hourCycle);
export const { format: timeOf } = new Intl.DateTimeFormat(lang, { timeStyle: 'short', hourCycle });
export const { format: momentOf } = new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'medium', hourCycle });
const { format: dateOf } = new Intl.DateTimeFormat(lang, { dateStyle: 'full' });

/** @param {Date} at */
export function dayOf(at) {
  const today = new Date(serverTime());
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (at.toDateString() === today.toDateString()) return say('today');
  if (at.toDateString() === yesterday.toDateString()) return say('yesterday');
  return dateOf(at);
}

let ahead = 0; // ms by which the server's clock is ahead

/** @param {number} now */
export function learnTime(now) {
  ahead = now - Date.now();
}

export const serverTime = () => Date.now() + ahead;

export function translate() {
  document.documentElement.lang = lang;
  for (const element of document.querySelectorAll('[data-say], [data-label], [data-hint]')) {
    const { say: text, label, hint } = /** @type {HTMLElement} */ (element).dataset;
    if (text) element.textContent = say(text);
    if (label) element.ariaLabel = say(label);
    if (hint) element.setAttribute('placeholder', say(hint));
  }
}

/** Has `words` times 32 bits. */
export const random = (words = 4) => crypto.getRandomValues(new Uint32Array(words)).join('-');

// the secret with which this browser can change its messages
const KEY = 'author key';
export const authorKey = everywhere.get(KEY, random(6), (key) => /^[\w-]{22,128}$/.test(key));
everywhere.set(KEY, authorKey);

const bytes = new TextEncoder().encode(`author ${authorKey}`);
// browsers have no SHA-256 for pages that came over plain HTTP
const hash = await (crypto.subtle?.digest('SHA-256', bytes) ?? import('./sha256.js').then(({ sha256 }) => sha256(bytes), () => new Uint8Array(0)));

/** Its public tag; '' if sha256.js could not be loaded. */
export const author = btoa(String.fromCharCode(...new Uint8Array(hash))).slice(0, 11).replaceAll('+', '-').replaceAll('/', '_');

// over HTTP/1.1, tabs share a stream
export const chat = new Chat({ rooms: [], keep: 0, shareTabs: 'http1', author, authorKey });

/** The reader's name from the server, by room. @type {Map<string, string>} */
export const names = new Map();

/** The reader as named in reactions. */
export const me = (room = LOBBY) => names.get(room) || author;

export const ANSWERED = 'answered';
/** Own messages without an author tag, because a login replaced the key. */
export const answered = new Set(everywhere.list(ANSWERED, isText));

export const DRAFTS = 'outbox ';

/** This tab. */
export const tab = random();

let last = 0;

/** For outbox.js; each draft has a key, because tabs write concurrently. @param {NewDraft} what @returns {Draft} */
export function keep(what) {
  last = Math.max(Date.now(), last + 1);
  const draft = { nonce: random(), at: last, tab, ...what };
  everywhere.set(DRAFTS + draft.nonce, draft);
  return draft;
}

/** Before the page is left. @param {Event} event */
export const ask = (event) => event.preventDefault();

const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/** The text as it may be sent. @param {string} typed */
export const cleaned = (typed) => typed.replace(controls, '').toWellFormed().trimEnd();

/** Anyone can copy a nonce or a chosen name, so neither counts. @param {Message} message */
export const isMine = ({ room = LOBBY, id, name, author: by }) => (by ? by === author : answered.has(id)) || (Boolean(name) && name === names.get(room));

/** Reading or writing in a room that needs a login: `read lobby`. @type {Set<string>} */
export const shut = new Set();

/** @param {string} what @param {boolean} isShut */
export function learn(what, isShut) {
  if (isShut === shut.has(what)) return;
  shut[isShut ? 'add' : 'delete'](what);
  chat.dispatchEvent(new Event('statechange'));
}

export const PAGE = 50;

/** @param {string} room @param {Query} [query] */
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

/** @type {Special|undefined} */
export let special;
/** @returns {Promise<Special>} */
export const loadSpecial = async () => special = await load('./special.js');

const LATE = 3000; // ms
const marks = /[`*>@]|~~|\/\/|www\.|\p{Emoji_Presentation}|\ufe0f|^[^]{120}|(\n.*){20}/iu;

/** @param {Partial<Message>} message */
const isSpecial = ({ text = '', reply_to, reactions, edited }) => Boolean(reply_to || reactions || edited) || marks.test(text);

/** Loads what messages need, unless that takes long. @param {Partial<Message>[]} messages */
export async function prepare(messages) {
  if (!messages.some(isSpecial)) return;
  await Promise.race([loadSpecial().then(({ note }) => note(messages)), new Promise((resolve) => setTimeout(resolve, LATE))]);
}

/** Would change the direction of the text around them. */
const directions = /[\u202a-\u202e\u2066-\u2069]/g;
const visible = /[^\p{Z}\p{M}\p{C}]/u;

/** @param {string} name */
export function hueOf(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return String(hash);
}

/** @type {NameTag} */
export function nameTag(name, otherwise = say('nameless'), seed = name) {
  const shown = visible.test(name) ? name.replace(directions, '') : '';
  const tag = make('bdi', { class: 'name' }, shown || otherwise);
  if (shown) tag.style.setProperty('--hue', hueOf(seed));
  else tag.classList.add('nameless');
  return tag;
}

/** Last names, by author tag. @type {Map<string, string>} */
export const authors = new Map();

/** First holders, by name. @type {Map<string, string>} */
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
