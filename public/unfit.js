// Rooms that do not fit: names that are not valid, and one more than the list can hold.
// Loaded when there is one.

import { find, make } from './dom.js';
import { invisible, letter, roomName } from './roomname.js';
import { address, roomAddress, titleOf } from './rooms.js';
import { LOBBY } from './sse-chat.js';
import { say } from './words.js';

/** The valid room closest to the typed one, or ''. @param {string} typed */
export function fittingRoom(typed) {
  const parts = typed.normalize('NFC').replace(new RegExp(invisible, 'gv'), '').match(new RegExp(`${letter}+`, 'gv')) ?? [];
  const name = [...parts.join('-').replace(/-+/g, '-').replace(/^-/, '')].slice(0, 64).join('');
  return roomName(name.replace(/-$/, ''));
}

/** In place of the chat. @param {string} asked */
export function offer(asked) {
  const room = fittingRoom(asked) || LOBBY;
  const link = find('good-room');
  link.href = roomAddress(room);
  link.textContent = say('goTo', titleOf(room));
}

/** @param {HTMLInputElement} field */
export function suggest(field) {
  const room = fittingRoom(field.value);
  if (room) {
    address.go(room);
    field.value = '';
    return;
  }
  field.setCustomValidity(say('badRoom', field.value));
  field.reportValidity();
  field.addEventListener('input', () => field.setCustomValidity(''), { once: true });
}

/** Until the reader goes on. @param {string} title */
export function tell(title) {
  const told = make('p', { class: 'told', role: 'status' }, say('leftOut', title));
  find('chat').before(told);
  address.addEventListener('room', () => told.remove(), { once: true });
}
