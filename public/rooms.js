// The room in the page's address, the rooms that were visited, and unread messages.

import { find, Source } from './dom.js';
import { prepare } from './message.js';
import { attempt, everywhere, isPair, onChange } from './remember.js';
import { roomName } from './roomname.js';
import { compareIds, LOBBY } from './sse-chat.js';
import { say } from './words.js';

/** @param {string} room */
export function roomAddress(room) {
  const address = new URL(location.href);
  if (room === LOBBY) address.searchParams.delete('room');
  else address.searchParams.set('room', room);
  address.hash = '';
  return address.pathname + address.search;
}

const asked = () => new URLSearchParams(location.search).get('room') ?? LOBBY;

class Address extends Source {
  asked = asked();
  room = roomName(this.asked);
  hasWalked = false; // back or forward

  constructor() {
    super();
    addEventListener('popstate', () => asked() === this.asked || this.#show(asked(), true));
  }

  /** @param {string} room @param {boolean} hasWalked */
  #show(room, hasWalked) {
    this.asked = room;
    this.room = roomName(room);
    this.hasWalked = hasWalked;
    this.emit('room', this.room);
  }

  /** @param {string} room */
  go(room) {
    if (room === this.room) return;
    // the entry of an open panel is not needed any more
    attempt(() => history[history.state ? 'replaceState' : 'pushState'](null, '', roomAddress(room)));
    this.#show(room, false);
  }
}

export const address = new Address();

const KEY = 'rooms';
const MOST = 100; // of a stream

/** The last visited one last. One invalid room would make the server refuse all. @returns {[string, string][]} */
export const visited = () => [...new Map(everywhere.list(KEY, (visit) => isPair(visit) && roomName(visit[0]) === visit[0] && /^[\d-]{0,39}$/.test(visit[1])))].slice(-MOST);

/** @param {(module: typeof import('./unfit.js')) => void} use */
export const unfit = (use) => import('./unfit.js').then(use, () => {});

/** @param {string} room */
export const titleOf = (room) => (room === LOBBY ? say('lobby') : room);

/** Emits `changed` when the rooms of the stream change, and `unread` {total}. */
export class Rooms extends Source {
  /** And the last read message of each. @type {[string, string][]} */
  #visited = visited();
  #announced = '';
  #hasList = false;
  current = '';
  /** @type {Map<string, number>} */
  unread = new Map();
  /** @type {ReadonlyMap<string, State>} */
  barred = new Map();

  constructor() {
    super();
    const [form, field] = [find('go'), find('go-to')];
    form.addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      const room = roomName(field.value);
      if (!room) return unfit(({ suggest }) => suggest(field));
      form.reset();
      return address.go(room);
    });
    const recall = () => {
      const old = new Map(this.#visited);
      this.#visited = visited();
      for (const [room, read] of this.#visited) { // another tab has read it
        if (room !== this.current && compareIds(read, old.get(room) ?? '') > 0) this.unread.delete(room);
      }
      this.draw();
    };
    onChange(KEY, recall);
    addEventListener('pageshow', recall);
  }

  /** Of the stream. */
  get names() {
    return [...new Set([this.current || LOBBY, ...this.visited])].slice(0, MOST);
  }

  /** The last one first. */
  get visited() {
    return this.#visited.map(([room]) => room).reverse();
  }

  /** @param {string} room */
  read(room) {
    return this.#visited.find(([name]) => name === room)?.[1] ?? '';
  }

  /** @param {string} room */
  show(room) {
    this.current = room;
    // unless it was left before
    if (!address.hasWalked || this.visited.includes(room)) this.visit(room);
    else this.draw();
  }

  /** @param {string} room */
  visit(room) {
    this.#visited = [...this.#without(room), [room, this.read(room)]];
    const tooMany = this.#visited.splice(0, this.#visited.length - MOST);
    if (tooMany.length) unfit(({ tell }) => tell(titleOf(tooMany[0][0])));
    this.#keep();
    this.draw();
  }

  /** @param {string} room */
  #without(room) {
    return this.#visited.filter(([name]) => name !== room);
  }

  /** @param {string} room */
  leave(room) {
    this.#visited = this.#without(room);
    this.unread.delete(room);
    this.#keep();
    if (room === this.current) address.go(this.visited[0] ?? LOBBY);
    this.draw();
  }

  #keep() {
    everywhere.set(KEY, this.#visited);
  }

  /** A message arrived out of view. @param {string} room @param {Message} message */
  arrived(room, message) {
    if (compareIds(message.id, this.read(room)) <= 0) return;
    this.unread.set(room, (this.unread.get(room) ?? 0) + 1);
    prepare([message]).then(() => this.draw());
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
    this.barred = barred;
    this.draw();
  }

  /** What came while the page was closed. */
  async count() {
    const others = this.#without(this.current);
    if (others.length) await import('./unread.js').then(({ count }) => count(others, this.unread), () => {});
    this.draw();
  }

  draw() {
    this.unread.delete(this.current);
    const { names } = this;
    this.#hasList ||= names.length > 1;
    if (this.#hasList) import('./roomlist.js').then(({ draw }) => draw(this), () => {});
    else find('only').textContent = titleOf(names[0]);
    const news = names.sort().join();
    if (news !== this.#announced) this.emit('changed');
    this.#announced = news;
    this.emit('unread', [...this.unread.values()].reduce((a, b) => a + b, 0));
  }
}
