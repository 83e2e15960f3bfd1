// Says something for a moment.

import { find } from './dom.js';

const LASTS = 6000; // ms
/** @type {ReturnType<typeof setTimeout>|undefined} */
let timer;

/** @param {string} text */
export function hint(text) {
  clearTimeout(timer);
  find('note').textContent = text;
  timer = setTimeout(() => find('note').textContent = '', LASTS);
}
