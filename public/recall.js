// What was sent comes back with the arrow keys. Loaded when something is.

import { find } from './dom.js';
import { here, isText } from './remember.js';

const MOST = 100;

const field = find('text');
let sent = here.list('sent', isText);
let back = 0;
let isOurs = false;

field.addEventListener('input', () => {
  if (!isOurs) back = 0;
});

/** @param {string} text */
export function remember(text) {
  back = 0;
  sent = [...sent, text].slice(-MOST);
  here.set('sent', sent);
}

/** @param {number} by */
export function recall(by) {
  const next = back + by;
  if ((field.value && !back) || next < 0 || next > sent.length) return;
  back = next;
  field.value = back ? sent[sent.length - back] : '';
  isOurs = true;
  field.dispatchEvent(new Event('input'));
  isOurs = false;
}
