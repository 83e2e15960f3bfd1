// Disables the composer for a reader who was removed. Loaded when that happens.

import { find } from './dom.js';
import { chat } from './history.js';
import { say } from './words.js';

const [field, button] = [find('text'), find('send')];

/** @param {boolean} isClosed */
function set(isClosed) {
  field.disabled = button.disabled = isClosed;
  field.placeholder = say(isClosed ? 'removed' : 'message');
}

chat.addEventListener('live', () => set(false));

export const close = () => set(chat.state !== 'live');
