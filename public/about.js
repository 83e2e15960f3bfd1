// What the panel of the room has: its link, how to leave it, and who is there.

import { copy, linkTo } from './copy.js';
import { find, make } from './dom.js';
import { chat } from './history.js';
import { nameTag } from './message.js';
import { address, titleOf } from './rooms.js';
import { LOBBY } from './sse-chat.js';
import { say, sayCount } from './words.js';

/** @import { People } from './people.js' */
/** @import { Rooms } from './rooms.js' */

const FEW = 20;

const about = find('about');
const canShare = Boolean(navigator.share);
let draw = () => {};
chat.addEventListener('presence', () => draw());

/** @param {string} text @param {() => void} onclick */
const button = (text, onclick) => make('button', { type: 'button', class: 'quiet', onclick }, text);

/** @param {Rooms} rooms @param {People} people */
export function fill(rooms, people) {
  let most = FEW;
  const list = make('ul', { tabIndex: -1 });
  const others = button('', () => {
    most = Infinity;
    draw();
    list.focus();
  });
  draw = () => {
    const { count = 0, names = [], unnamed = 0 } = chat.presence.get(address.room) ?? {};
    const named = names.slice(0, most);
    const rest = count - unnamed - named.length;
    const lines = [unnamed && sayCount('unnamed', unnamed), rest > 0 && named.length === names.length && say('others', rest)];
    list.replaceChildren(
      ...named.map((name) => make('li', {}, nameTag(name), name === people.name ? ` (${say('you')})` : '')),
      ...lines.filter((line) => line).map((line) => make('li', { class: 'nameless' }, String(line))));
    others.hidden = named.length === names.length;
    others.textContent = say('others', rest);
  };
  draw();
  const told = make('p', { role: 'status' });
  const leave = button(say('leaveThis'), () => rooms.leave(address.room));
  leave.hidden = rooms.names.join() === LOBBY;
  about.replaceChildren(button(say(canShare ? 'share' : 'copyLink'), () => invite(told)), told, leave, make('h2', {}, say('people')), list, others);
}

/** @param {HTMLElement} told */
async function invite(told) {
  const { room } = address;
  const url = linkTo(room);
  told.textContent = '';
  try {
    if (canShare) {
      await navigator.share({ title: titleOf(room), url });
    } else {
      await copy(url, (text) => {
        told.textContent = text;
        if (text === url) getSelection()?.selectAllChildren(told);
      });
    }
  } catch (/** @type {any} */ { name }) {
    if (name !== 'AbortError') told.textContent = url; // otherwise the reader has changed their mind
  }
}
