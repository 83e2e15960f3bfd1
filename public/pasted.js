// Puts text into the composer that was pasted, dropped, or refused by the server.

import { find } from './dom.js';
import { hint } from './hint.js';
import { say } from './words.js';

const field = find('text');

function changed() {
  field.dispatchEvent(new Event('input'));
}

/** Puts a refused text back. @param {Draft} draft */
export function takeBack(draft) {
  const { text, refused } = draft;
  if (!refused) return; // a second click
  draft.refused = undefined;
  const [, most] = /^text: .* more than (\d+)$/.exec(refused) ?? [];
  if (most) field.dataset.most = most;
  field.value = [text, field.value].filter(Boolean).join('\n');
  field.focus();
  changed();
}

/** Inserts what was pasted or dropped. @param {string} text @param {boolean} hasFile */
export function receive(text, hasFile) {
  if (field.disabled) return;
  if (text) {
    field.focus({ preventScroll: true });
    field.setRangeText(text, field.selectionStart, field.selectionEnd, 'end');
    changed();
  }
  if (hasFile) hint(say('onlyText'));
}
