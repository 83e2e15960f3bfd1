// The page's texts, and the time.

import { attempt } from './remember.js';

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

/** @param {number} status @param {unknown} [error] */
export function reason(status, error) {
  if (status === 413) return say('tooLong');
  if (status === 403) return say('notAllowed');
  return String(error ?? status);
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

let ahead = 0; // ms by which the server's clock is ahead

/** @param {number} now */
export function learnTime(now) {
  ahead = now - Date.now();
}

export const serverTime = () => Date.now() + ahead;
