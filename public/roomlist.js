// The list of the visited rooms. Loaded when there are several.

import { find, make } from './dom.js';
import { mentions } from './message.js';
import { address, roomAddress, titleOf } from './rooms.js';
import { LOBBY } from './sse-chat.js';
import { MANY } from './unread.js';
import { say, sayCount } from './words.js';

/** @import { Rooms } from './rooms.js' */
/** @typedef {{item: HTMLElement, link: HTMLAnchorElement, badge: HTMLElement, leave: HTMLElement}} Entry */

const list = find('rooms');
/** In the shown order. Kept, to keep the focus. @type {Map<string, Entry>} */
let entries = new Map();
let drawAgain = () => {};

for (const type of ['pointerleave', 'focusout']) list.addEventListener(type, () => setTimeout(() => drawAgain()));

/** The current room first, then those with unread messages. @param {Rooms} rooms */
export function draw(rooms) {
  drawAgain = () => draw(rooms);
  if (!entries.size) list.replaceChildren(); // what the page began with
  const { visited, current, unread, barred } = rooms;
  for (const [room, { item }] of entries) {
    if (visited.includes(room)) continue;
    item.remove();
    entries.delete(room);
  }
  // nothing moves under the pointer or the focus
  const held = list.matches(':hover, :focus-within') ? entries.keys() : [];
  const order = new Set([...held, ...visited.filter((room) => room === current), ...visited.filter((room) => unread.has(room)), ...visited]);
  entries = new Map([...order].map((room) => [room, entries.get(room) ?? entry(room, rooms)]));
  [...entries].forEach(([room, { item, link, badge, leave }], i) => {
    const count = unread.get(room) ?? 0;
    if (room === current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    link.classList.toggle('barred', barred.has(room));
    leave.hidden = rooms.names.join() === LOBBY; // there is no other
    badge.hidden = count === 0;
    badge.firstChild?.replaceWith((mentions?.unread(room) ?? '') + (count > MANY ? `${MANY}+` : count));
    badge.title = sayCount('unread', count);
    if (list.children[i] === item) return;
    list.insertBefore(item, list.children[i] ?? null);
    if (i === 0) list.scrollTop = 0;
  });
}

/** @param {string} room @param {Rooms} rooms */
function entry(room, rooms) {
  const badge = make('span', { class: 'badge', hidden: true }, '0');
  const link = make('a', { href: roomAddress(room) }, make('bdi', {}, titleOf(room)), ' ', badge);
  link.addEventListener('click', (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    address.go(room);
    find('menu').hidePopover();
  });
  const leave = make('button', { type: 'button', class: 'leave', 'aria-label': say('leave', titleOf(room)), onclick: () => {
    find('go-to').focus();
    rooms.leave(room);
  } }, '×');
  return { item: make('li', {}, link, leave), link, badge, leave };
}
