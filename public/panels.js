// What opens beside the messages: the menu with the list of rooms, and the panel of the
// room. Also what to do with invalid room names, and the reader's names from the server.

import { attempt, button, chat, fetchPage, find, invisible, isMine, letter, make, names, nameTag, roomName, say, sayCount, special, styled } from './page.js';
import { address, roomAddress, titleOf } from './rooms.js';
import { Chat, LOBBY } from './sse-chat.js';

await styled();

const [menu, about] = [find('menu'), find('about')];
const main = /** @type {HTMLElement} */ (document.querySelector('main'));
let isReturning = false;

// iOS has notifications for installed pages only
if (!('Notification' in window) && 'standalone' in navigator) {
  find('blocked').textContent = say('install');
  find('blocked').hidden = false;
}

/** @param {Rooms} rooms @param {People} people */
export function toggled(rooms, people) {
  settle();
  if (about.matches(':popover-open')) fill(rooms, people);
  else about.replaceChildren();
}

const search = () => document.getElementById('search');
const isOpen = () => menu.matches(':popover-open') || about.matches(':popover-open') || search() !== null;

/** Makes the page and its history fit what is open: what is behind the menu is inert, and going back closes it. */
export function settle() {
  main.inert = menu.matches(':popover-open');
  if (isReturning || isOpen() === Boolean(history.state)) return;
  if (isOpen()) attempt(() => history.pushState('panel', ''));
  else setTimeout(leave, 100); // a click on a room may have closed it; the room then replaces the panel's history entry
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

const FEW = 20;

const canShare = Boolean(navigator.share);
let drawPeople = () => {};
chat.addEventListener('presence', () => drawPeople());

/** The link of the room, how to leave it, and who is there. @param {Rooms} rooms @param {People} people */
function fill(rooms, people) {
  let most = FEW;
  const list = make('ul', { tabIndex: -1 });
  const others = button('', () => {
    most = Infinity;
    drawPeople();
    list.focus();
  });
  drawPeople = () => {
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
  drawPeople();
  const told = make('p', { role: 'status' });
  const leave = button(say('leaveThis'), () => rooms.leave(address.room), { hidden: rooms.names.join() === LOBBY });
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

/** A link to share; the recipient's browser chooses the language. @param {string} room @param {string} [id] of a message */
export function linkTo(room, id = '') {
  const link = new URL(roomAddress(room), location.href);
  link.searchParams.delete('lang');
  link.hash = id;
  return link.href;
}

/** @type {Copy} */
export async function copy(text, tell) {
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

const MANY = 99; // unread messages; more are not counted
const AT_ONCE = 3; // browsers open few connections, and the page needs some

const list = find('rooms');
/** In the shown order. Kept, to keep the focus. @type {Map<string, ReturnType<typeof entry>>} */
let entries = new Map();
let drawAgain = () => {};

for (const type of ['pointerleave', 'focusout']) list.addEventListener(type, () => setTimeout(() => drawAgain()));

/** The current room first, then those with unread messages. @param {Rooms} rooms */
export function drawRooms(rooms) {
  drawAgain = () => drawRooms(rooms);
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
    badge.firstChild?.replaceWith((special?.unread(room) ?? '') + (count > MANY ? `${MANY}+` : count));
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
    menu.hidePopover();
  });
  const leave = button('×', () => {
    find('go-to').focus();
    rooms.leave(room);
  }, { class: 'leave', 'aria-label': say('leave', titleOf(room)) });
  return { item: make('li', {}, link, leave), link, badge, leave };
}

/** @type {CountUnread} */
export async function countUnread(visited, unread) {
  const rest = visited.filter(([, read]) => read);
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let visit; (visit = rest.pop());) {
      const page = await fetchPage(visit[0], { after: visit[1], limit: MANY + 1 });
      const count = page?.messages.filter((message) => !isMine(message)).length;
      if (count) unread.set(visit[0], count);
    }
  }));
}

/** The valid room closest to the typed one, or ''. @param {string} typed */
export function fittingRoom(typed) {
  const parts = typed.normalize('NFC').replace(new RegExp(invisible, 'gv'), '').match(new RegExp(`${letter}+`, 'gv')) ?? [];
  const name = [...parts.join('-').replace(/-+/g, '-').replace(/^-/, '')].slice(0, 64).join('');
  return roomName(name.replace(/-$/, ''));
}

/** In place of the chat. @param {string} asked */
export function offerRoom(asked) {
  const room = fittingRoom(asked) || LOBBY;
  const link = find('good-room');
  link.href = roomAddress(room);
  link.textContent = say('goTo', titleOf(room));
}

/** @param {HTMLInputElement} field */
export function suggestRoom(field) {
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

/** Says that a room was dropped because the list is full, until the reader goes to another room. @param {string} title */
export function tellLeftOut(title) {
  const told = make('p', { class: 'told', role: 'status' }, say('leftOut', title));
  find('chat').before(told);
  address.addEventListener('room', () => told.remove(), { once: true });
}

/** Asks for the names that the server gives the reader, maybe a different one in each room, or none. @param {string[]} rooms @param {() => void} learned */
export async function learnNames(rooms, learned) {
  for (const room of rooms) {
    if (names.has(room)) continue;
    names.set(room, '');
    const name = await nameIn(room);
    if (name === undefined) names.delete(room);
    else names.set(room, name);
    if (name) learned();
  }
}

/** '' if the reader may choose, undefined if it does not say. @param {string} room @returns {Promise<string|undefined>} */
const nameIn = (room) => new Promise((resolve) => {
  const there = new Chat({ rooms: [room], keep: 0 });
  /** @param {string} [name] */
  const end = (name) => {
    resolve(name);
    there.close();
  };
  there.addEventListener('hello', () => end(there.you?.name ?? ''), { once: true });
  there.addEventListener('statechange', ({ data }) => data === 'connecting' || end());
});
