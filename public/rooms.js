// What is around the messages: rooms, people, the state of the connection, the title.

import { attempt, chat, everywhere, find, hueOf, isText, load, onChange, prepare, roomName, say, sayCount, Source, special, timeOf } from './page.js';
import { compareIds, LOBBY } from './sse-chat.js';

export function roomAddress(room = LOBBY) {
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

  go(room = LOBBY) {
    if (room === this.room) return;
    // the entry of an open panel is not needed any more
    attempt(() => history[history.state ? 'replaceState' : 'pushState'](null, '', roomAddress(room)));
    this.#show(room, false);
  }
}

export const address = new Address();

const KEY = 'rooms';
const MOST = 100; // of a stream

/** @param {any} value */
const isPair = (value) => value.length === 2 && value.every(isText);

/** Newest last. One invalid room would make the server refuse all. @returns {[string, string][]} */
export const visited = () => [...new Map(everywhere.list(KEY, (visit) => isPair(visit) && roomName(visit[0]) === visit[0] && /^[\d-]{0,39}$/.test(visit[1])))].slice(-MOST);

/** @param {(panels: Panels) => void} use */
export const panels = (use) => load('./panels.js').then(use);

export const titleOf = (room = LOBBY) => (room === LOBBY ? say('lobby') : room);

/** Emits `changed`, and `unread` {total}. */
export class Rooms extends Source {
  /** Each with its last read message. @type {[string, string][]} */
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
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const room = roomName(field.value);
      if (!room) return panels(({ suggestRoom }) => suggestRoom(field));
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

  /** For the stream. */
  get names() {
    return [...new Set([this.current || LOBBY, ...this.visited])].slice(0, MOST);
  }

  /** Newest first. */
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
    if (tooMany.length) panels(({ tellLeftOut }) => tellLeftOut(titleOf(tooMany[0][0])));
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
    if (room === this.current) address.go(this.visited[0]);
    this.draw();
  }

  #keep() {
    everywhere.set(KEY, this.#visited);
  }

  /** In another room. @param {string} room @param {Message} message */
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
    if (others.length) await panels(({ countUnread }) => countUnread(others, this.unread));
    this.draw();
  }

  draw() {
    this.unread.delete(this.current);
    const { names } = this;
    this.#hasList ||= names.length > 1;
    if (this.#hasList) panels(({ drawRooms }) => drawRooms(this));
    else find('only').textContent = titleOf(names[0]);
    const news = names.sort().join();
    if (news !== this.#announced) this.emit('changed');
    this.#announced = news;
    this.emit('unread', [...this.unread.values()].reduce((a, b) => a + b, 0));
  }
}

/** @param {string} name */
const fitting = async (name, otherwise = '') => name && import('./name.js').then(({ fittingName }) => fittingName(name), () => otherwise);
let chosen = await fitting(everywhere.get('name', ''));

/** Emits `name` when the reader changes it. */
export class People extends Source {
  #field = find('name');
  #ask = find('ask');
  #count = find('count');
  #room = '';
  name = chosen;

  constructor() {
    super();
    this.#colour();
    for (const [form, field] of /** @type {const} */ ([['self', 'name'], ['ask', 'ask-name']])) {
      find(form).addEventListener('submit', (event) => {
        event.preventDefault();
        this.#rename(find(field).value);
        if (form === 'ask') this.#settle();
      });
    }
    this.#field.addEventListener('change', () => this.#rename(this.#field.value));
    find('ask-not').addEventListener('click', () => this.#settle());
    chat.addEventListener('presence', () => this.#draw());
    this.#ask.hidden = this.name !== '' || everywhere.get('asked', false);
    onChange('name', () => this.#field.readOnly || this.#rename(everywhere.get('name', '')));
  }

  #settle() {
    everywhere.set('asked', true);
    this.#ask.hidden = true;
    find('text').focus();
  }

  /** @param {string} wanted */
  async #rename(wanted) {
    const name = await fitting(wanted, this.name);
    this.#field.value = name;
    if (name === this.name) return;
    this.name = chosen = name;
    everywhere.set('name', name);
    this.#colour();
    this.emit('name', name);
  }

  /** The name from the server, '' if the reader may choose. @param {string} name */
  given(name) {
    if (name === '' && !this.#field.readOnly) return;
    this.#field.readOnly = name !== '';
    this.name = name || chosen;
    if (name) everywhere.set('asked', this.#ask.hidden = true);
    this.#colour();
    this.#draw();
  }

  #colour() {
    this.#field.value = this.name;
    this.#field.style.setProperty('--hue', hueOf(this.name));
    this.#field.classList.toggle('name', this.name !== '');
  }

  /** @param {string} room */
  show(room) {
    this.#room = room;
    this.#draw();
  }

  #draw() {
    const { count = 0, names = [] } = chat.presence.get(this.#room) ?? {};
    const others = names.filter((name) => name !== this.name).slice(0, 9);
    this.#count.textContent = [count ? sayCount('here', count) : say('people'), others.join(', ')].filter(Boolean).join(' · ');
  }
}

const CALM = 5000; // ms of trouble that are not shown

/** Emits `retry`. */
export class Status extends Source {
  #line = find('status');
  #text = find('status-text');
  #detail = find('status-detail');
  #button = find('retry');
  #link = find('log-in');
  /** @type {Timer} */
  #later = this.#wait();
  /** @type {Timer} */
  #countdown;
  #shown = false;
  #state = 'connecting';
  #word = 'connecting';
  #retryAt = 0;
  lastAt = 0;

  constructor() {
    super();
    this.#button.addEventListener('click', () => this.emit('retry'));
  }

  /** @param {State} state @param {number} retryAt @param {boolean} isHere it concerns only this room */
  show(state, retryAt, isHere) {
    this.#state = state;
    this.#word = isHere ? 'barred' : state;
    this.#retryAt = retryAt;
    document.body.dataset.connection = state;
    if (state === 'live') {
      clearTimeout(this.#later);
      this.#later = undefined;
      this.#shown = false;
    } else if (state === 'connecting' || state === 'waiting') {
      this.#later ??= this.#wait();
    } else {
      this.#shown = true;
    }
    this.#draw();
  }

  #wait() {
    return setTimeout(() => {
      this.#shown = true;
      this.#draw();
    }, CALM);
  }

  #draw() {
    const [state, shown] = [this.#state, this.#shown];
    clearInterval(this.#countdown);
    this.#line.dataset.shown = String(shown);
    this.#button.hidden = !shown || state === 'connecting' || state === 'absent';
    this.#link.hidden = state !== 'login' && state !== 'refused';
    // read out; the countdown is not
    const text = shown || state === 'live' ? say(this.#word) : '';
    if (text && this.#text.textContent !== text) this.#text.textContent = text;
    this.#detail.textContent = '';
    if (!shown) return;
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000));
      const detail = [state === 'waiting' && say('inSeconds', seconds), state === 'full' && say('tryingAt', timeOf(new Date(this.#retryAt))), this.lastAt && say('lastMessage', timeOf(new Date(this.lastAt)))];
      this.#detail.textContent = detail.filter(Boolean).join(' · ');
    };
    tick();
    if (state === 'waiting') this.#countdown = setInterval(tick, 1000);
  }
}

/** @param {(bell: typeof import('./bell.js')) => unknown} use */
const bell = (use) => import('./bell.js').then(use).catch(() => {});

/** For a reader who looks elsewhere. */
export class Notice {
  #icon = find('icon');
  #unread = { here: 0, elsewhere: 0 };
  #title = '';

  constructor() {
    for (const id of /** @type {const} */ (['notify', 'sound'])) {
      const box = find(id);
      const recall = () => {
        box.checked = everywhere.get(id, false);
        if (box.checked) bell(({ check }) => check());
      };
      recall();
      onChange(id, recall);
      box.addEventListener('change', () => bell(({ choose }) => choose(id)));
    }
    if (!('Notification' in window)) find('notify').closest('label')?.setAttribute('hidden', '');
  }

  /** @param {string} title */
  show(title) {
    this.#title = title;
    this.#draw();
  }

  /** @param {'here'|'elsewhere'} where @param {number} count */
  unread(where, count) {
    this.#unread[where] = count;
    this.#draw();
  }

  #draw() {
    const at = special?.unread() ?? '';
    const unread = this.#unread.here + this.#unread.elsewhere;
    const title = unread ? `(${at}${unread}) ${this.#title}` : this.#title;
    if (title === document.title) return;
    document.title = title;
    this.#icon.href = `icon${unread ? at ? '-mention' : '-unread' : ''}.svg`;
    attempt(() => navigator.setAppBadge(unread))?.catch(() => {});
  }

  /** @param {Message} message @param {boolean} isSeen */
  message(message, isSeen) {
    if (find('sound').checked || find('notify').checked) bell(({ ring }) => ring(message, isSeen));
  }
}
