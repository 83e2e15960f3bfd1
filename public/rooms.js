// The room in the page's address, the rooms that were visited, and unread messages.

import { find, make, Source } from './dom.js';
import { fetchPage } from './history.js';
import { mentions, prepare } from './message.js';
import { attempt, everywhere, isPair, onChange } from './remember.js';
import { roomName } from './roomname.js';
import { compareIds, LOBBY } from './sse-chat.js';
import { say, sayCount } from './words.js';

/** @param {string} room */
export function roomAddress(room) {
  const address = new URL(location.href);
  if (room === LOBBY) address.searchParams.delete('room');
  else address.searchParams.set('room', room);
  address.hash = '';
  return address.pathname + address.search;
}

class Address extends Source {
  constructor() {
    super();
    this.asked = '';
    this.room = '';
    this.#read();
    addEventListener('popstate', () => {
      this.#read();
      this.emit('room', this.room);
    });
  }

  #read() {
    this.asked = new URLSearchParams(location.search).get('room') ?? LOBBY;
    this.room = roomName(this.asked);
  }

  /** @param {string} room */
  go(room) {
    if (room === this.room) return;
    attempt(() => history.pushState(null, '', roomAddress(room)));
    this.asked = this.room = room;
    this.emit('room', room);
  }
}

export const address = new Address();

const KEY = 'rooms';
const MOST = 30;
const MANY = 99;

/** @typedef {{item: HTMLElement, link: HTMLAnchorElement, badge: HTMLElement, leave: HTMLElement}} Entry */

/** One invalid room would make the server refuse all. @returns {[string, string][]} */
export const visited = () => [...new Map(everywhere.list(KEY, (visit) => isPair(visit) && roomName(visit[0]) === visit[0] && /^[\d-]{0,39}$/.test(visit[1])))].slice(-MOST);

/** @param {string} room */
export const titleOf = (room) => (room === LOBBY ? say('lobby') : room);

/** Emits `changed` when the list changes, and `unread` {total}. */
export class Rooms extends Source {
  #list = find('rooms');
  /** @type {[string, string][]} */
  #visited = visited();
  /** @type {Map<string, number>} */
  #unread = new Map();
  /** Kept, to keep the focus. @type {Map<string, Entry>} */
  #entries = new Map();
  #current = '';
  /** @type {ReadonlyMap<string, State>} */
  #barred = new Map();

  constructor() {
    super();
    const [form, field] = [find('go'), find('go-to')];
    field.addEventListener('input', () => field.setCustomValidity(''));
    form.addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      const name = roomName(field.value);
      field.setCustomValidity(name ? '' : say('badRoom', field.value));
      if (!field.reportValidity()) return;
      form.reset();
      address.go(name);
    });
    onChange(KEY, () => {
      const old = new Map(this.#visited);
      this.#visited = visited();
      for (const [room, read] of this.#visited) { // another tab has read it
        if (room !== this.#current && compareIds(read, old.get(room) ?? '') > 0) this.#unread.delete(room);
      }
      this.#draw();
      if (this.#visited.length !== old.size) this.emit('changed');
    });
  }

  get names() {
    return [...new Set([this.#current || LOBBY, ...this.#visited.map(([room]) => room)])];
  }

  /** @param {string} room */
  read(room) {
    return this.#visited.find(([name]) => name === room)?.[1] ?? '';
  }

  /** @param {string} room */
  show(room) {
    this.#current = room;
    this.#unread.delete(room);
    const isNew = !this.#visited.some(([name]) => name === room);
    if (isNew) {
      if (this.#visited.length >= MOST) this.#visited.splice(this.#visited[0][0] === LOBBY ? 1 : 0, 1);
      this.#visited.push([room, '']);
      this.#keep();
    }
    this.#draw();
    if (isNew) this.emit('changed');
  }

  /** @param {string} room */
  #leave(room) {
    this.#visited = this.#visited.filter(([name]) => name !== room);
    this.#unread.delete(room);
    this.#keep();
    this.#draw();
    find('go-to').focus();
    this.emit('changed');
  }

  #keep() {
    everywhere.set(KEY, this.#visited);
  }

  /** A message arrived out of view. @param {string} room @param {Message} message */
  arrived(room, message) {
    if (compareIds(message.id, this.read(room)) <= 0) return;
    this.#unread.set(room, (this.#unread.get(room) ?? 0) + 1);
    prepare([message]).then(() => this.#draw());
  }

  /** @param {string} room @param {string} id */
  seen(room, id) {
    const entry = this.#visited.find(([name]) => name === room);
    if (!entry || compareIds(id, entry[1]) <= 0) return;
    entry[1] = id;
    this.#keep();
  }

  /** @param {ReadonlyMap<string, State>} barred */
  bar(barred) {
    this.#barred = barred;
    this.#draw();
  }

  async count() {
    await Promise.all(this.#visited.filter(([room, read]) => room !== this.#current && read).map(async ([room, after]) => {
      const page = await fetchPage(room, { after, limit: MANY + 1 });
      if (page?.messages.length && room !== this.#current) this.#unread.set(room, page.messages.length);
    }));
    this.#draw();
  }

  #draw() {
    const names = this.#visited.map(([room]) => room);
    for (const [room, { item }] of this.#entries) {
      if (names.includes(room)) continue;
      item.remove();
      this.#entries.delete(room);
    }
    names.forEach((room, i) => {
      const { item, link, badge, leave } = this.#entry(room);
      const unread = this.#unread.get(room) ?? 0;
      if (room === this.#current) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
      link.classList.toggle('barred', this.#barred.has(room));
      leave.hidden = room === this.#current;
      badge.hidden = unread === 0;
      if (unread) badge.firstChild?.replaceWith((mentions?.unread(room) ?? '') + (unread > MANY ? `${MANY}+` : unread));
      badge.title = sayCount('unread', unread);
      if (this.#list.children[i] !== item) this.#list.insertBefore(item, this.#list.children[i] ?? null);
    });
    this.emit('unread', [...this.#unread.values()].reduce((a, b) => a + b, 0));
  }

  /** @param {string} room */
  #entry(room) {
    let entry = this.#entries.get(room);
    if (entry) return entry;
    const badge = make('span', { class: 'badge', hidden: true }, '0');
    const link = make('a', { href: roomAddress(room) }, make('bdi', {}, titleOf(room)), ' ', badge);
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      address.go(room);
    });
    const leave = make('button', { type: 'button', class: 'leave', 'aria-label': say('leave', titleOf(room)), onclick: () => this.#leave(room) }, '×');
    entry = { item: make('li', {}, link, leave), link, badge, leave };
    this.#entries.set(room, entry);
    return entry;
  }
}
