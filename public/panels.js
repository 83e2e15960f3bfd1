// The menu, the panel of the room and the search while they are open: what is behind the
// menu is inert, and going back closes them. Loaded when one is opened.

import { fill } from './about.js';
import { find } from './dom.js';
import { attempt } from './remember.js';

/** @import { People } from './people.js' */
/** @import { Rooms } from './rooms.js' */

const [menu, about] = [find('menu'), find('about')];
const main = /** @type {HTMLElement} */ (document.querySelector('main'));
let isReturning = false;

/** @param {Rooms} rooms @param {People} people */
export function toggled(rooms, people) {
  settle();
  if (about.matches(':popover-open')) fill(rooms, people);
  else about.replaceChildren();
}

const search = () => document.getElementById('search');
const isOpen = () => menu.matches(':popover-open') || about.matches(':popover-open') || search() !== null;

/** Makes the page and its history fit what is open. */
export function settle() {
  main.inert = menu.matches(':popover-open');
  if (isReturning || isOpen() === Boolean(history.state)) return;
  if (isOpen()) attempt(() => history.pushState('panel', ''));
  else setTimeout(leave, 100); // what has closed it may be a click on a room, whose entry takes its place
}

function leave() {
  if (isReturning || isOpen() || !history.state) return;
  isReturning = true;
  history.back();
}

function close() {
  menu.hidePopover();
  about.hidePopover();
}

addEventListener('popstate', () => {
  if (!isReturning) {
    close();
    search()?.dispatchEvent(new Event('close'));
  }
  isReturning = false;
  settle();
});
// the focus goes back to the button in it
menu.addEventListener('beforetoggle', () => { main.inert = false; });
// the menu finds its place beside the messages
matchMedia('(min-width: 60rem)').addEventListener('change', close);
