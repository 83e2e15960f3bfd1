// Shows a short notice until it times out or the reader types.

import { find } from './dom.js';

const LASTS = 6000; // ms
const note = find('note');
const clear = () => note.replaceChildren();
/** @type {ReturnType<typeof setTimeout>|undefined} */
let timer;

find('text').addEventListener('input', clear);

/** @param {string} text */
export function hint(text) {
  clearTimeout(timer);
  note.textContent = text;
  timer = setTimeout(clear, LASTS);
}
