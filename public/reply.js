// The bar that shows which message the next one replies to.

import { find, make } from './dom.js';
import { nameTag } from './message.js';
import { address } from './rooms.js';
import { say } from './words.js';

const LONGEST = 200;
const bar = make('p', { id: 'replying', hidden: true });
find('composer').before(bar);
address.on('room', () => {
  bar.hidden = true;
});

/** @param {Message} message @param {import('./composer.js').Composer} composer */
export function reply(message, composer) {
  composer.replyTo = message.id;
  const end = () => {
    bar.hidden = true;
    composer.replyTo = '';
    composer.focus();
  };
  bar.replaceChildren(
    make('span', {}, `${say('replyingTo')} `, nameTag(message.name ?? ''), ' ', make('bdi', {}, (message.text ?? '').slice(0, LONGEST))),
    make('button', { type: 'button', class: 'quiet', 'aria-label': say('cancel'), onclick: end }, '×'));
  bar.hidden = false;
  composer.addEventListener('send', end, { once: true });
  composer.focus();
}
