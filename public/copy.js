// Copies links and texts, also over plain HTTP, where pages have no clipboard API.

import { make } from './dom.js';
import { hint } from './hint.js';
import { roomAddress } from './rooms.js';
import { say } from './words.js';

/** A link to share; the recipient's browser chooses the language. @param {string} room @param {string} [id] of a message */
export function linkTo(room, id = '') {
  const link = new URL(roomAddress(room), location.href);
  link.searchParams.delete('lang');
  link.hash = id;
  return link.href;
}

/** @param {string} text @param {(text: string) => void} [tell] receives a confirmation, or the text if it could not be copied */
export async function copy(text, tell = hint) {
  const isDone = await navigator.clipboard?.writeText(text).then(() => true, () => false) || copySelected(text);
  tell(isDone ? say('copied') : text);
}

/** @param {string} text */
function copySelected(text) {
  const focused = /** @type {HTMLElement|null} */ (document.activeElement);
  const field = make('textarea', { value: text, class: 'copied' });
  document.body.append(field);
  field.select();
  const isDone = document.execCommand('copy');
  field.remove();
  focused?.focus({ preventScroll: true });
  return isDone;
}
