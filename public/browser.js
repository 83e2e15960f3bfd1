// What all parts use: elements, files that load later, storage that may be forbidden,
// texts and times.

/**
 * Builds an element. `class` and names with a hyphen are attributes, others are properties.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node|string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'class') element.className = value;
    else if (name.includes('-')) element.setAttribute(name, value);
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children.filter((child) => child !== ''));
  return element;
}

/** @param {string} text @param {() => unknown} onclick @param {Record<string, any>} [more] */
export const button = (text, onclick, more) => make('button', { type: 'button', class: 'quiet', onclick, ...more }, text);

/** @param {string} id @returns {any} */
export function find(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

export const isTouch = () => matchMedia('(hover: none) and (pointer: coarse)').matches;

/** Whether a key sends. On a touch screen it is a new line. @param {KeyboardEvent} event */
export const sends = ({ key, shiftKey, ctrlKey, altKey, metaKey }) => key === 'Enter' && !(shiftKey || ctrlKey || altKey || metaKey || isTouch());

/** What had the focus in an element has it again. @param {HTMLElement} element @param {() => void} change */
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

/** Loads a file of this folder, however long the server is away. @param {string} file @returns {Promise<any>} */
export const load = (file) => import(file).catch(/** @returns {Promise<any>} */ async function again() { // a failed address may fail forever
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return import(`${file}?${Date.now()}`).catch(again);
});

/** @type {Promise<unknown>|undefined} */
let styles;

/** Resolves once the styles of later parts have loaded or failed, because late ones would move rows. */
export const styled = () => styles ??= new Promise((resolve) => {
  document.head.append(make('link', { rel: 'stylesheet', href: new URL('later.css', import.meta.url).href, onload: resolve, onerror: resolve }));
});

/** Separates the chats of a site. */
export const PLACE = `sse-chat ${new URL('.', document.baseURI).pathname} `;

/** Tries something that browsers may forbid. @template T @param {() => T} what */
export function attempt(what) {
  try {
    return what();
  } catch {
    return undefined;
  }
}

/** Values kept by the browser, or else by the page. @param {() => Storage} storage */
function memory(storage) {
  /** Values that it refused, or does not return. @type {Map<string, string>} */
  const refused = new Map();
  return {
    /** Returns `otherwise` if the value does not fit. @template T @param {string} key @param {T} otherwise @param {(value: any) => boolean} [fits] @returns {T} */
    get(key, otherwise, fits = (value) => typeof value === typeof otherwise) {
      const value = attempt(() => JSON.parse(refused.get(key) ?? storage().getItem(PLACE + key) ?? ''));
      return attempt(() => fits(value)) ? value : otherwise;
    },

    /** @param {string} key @param {(value: any) => boolean} fits @returns {any[]} */
    list(key, fits) {
      return this.get(key, [], Array.isArray).filter((value) => attempt(() => fits(value)));
    },

    /** @param {string} key @param {unknown} [value] */
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

    /** @param {string} prefix */
    keys(prefix) {
      const all = [...refused.keys()].map((key) => PLACE + key).concat(attempt(() => Object.keys(storage())) ?? []);
      return [...new Set(all)].filter((key) => key.startsWith(PLACE + prefix)).map((key) => key.slice(PLACE.length));
    },
  };
}

export const everywhere = memory(() => localStorage);
/** In this tab. */
export const here = memory(() => sessionStorage);

/** @param {unknown} value */
export const isText = (value) => typeof value === 'string';

/** Listens for changes in other tabs. @param {string} prefix of keys @param {() => void} listener */
export function onChange(prefix, listener) {
  addEventListener('storage', ({ key }) => (key ?? PLACE + prefix).startsWith(PLACE + prefix) && listener());
}

const wanted = [new URLSearchParams(location.search).get('lang'), ...navigator.languages];

/** Each has a file of its texts. */
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

/** Fills the texts into the page's HTML. */
export function translate() {
  document.documentElement.lang = lang;
  for (const element of document.querySelectorAll('[data-say], [data-label], [data-hint]')) {
    const { say: text, label, hint } = /** @type {HTMLElement} */ (element).dataset;
    if (text) element.textContent = say(text);
    if (label) element.ariaLabel = say(label);
    if (hint) element.setAttribute('placeholder', say(hint));
  }
}
