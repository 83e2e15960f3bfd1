// How much more may be written. Loaded with the first long text.

import { sayCount } from './words.js';

const MANY = 10_000; // UTF-16 units that are counted as they are, to be quick

/** What a reader would delete one by one. @param {string} text */
const characters = (text) => (text.length > MANY ? text : [...new Intl.Segmenter().segment(text)]).length;

/** @param {HTMLTextAreaElement} field @param {HTMLOutputElement} counter @param {string} text @param {number} most bytes */
export function count(field, counter, text, most) {
  const { read, written } = new TextEncoder().encodeInto(text, new Uint8Array(most));
  const isOver = read < text.length;
  counter.hidden = !isOver && written < 0.9 * most;
  counter.textContent = isOver ? sayCount('over', characters(text.slice(read)))
    : sayCount('left', Math.floor((most - written) * read / (written || 1)));
  field.setAttribute('aria-invalid', String(isOver));
}
