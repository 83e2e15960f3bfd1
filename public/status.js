// What is said beside the messages: the state of the connection, and notices.

import { find, Source } from './dom.js';
import { mentions } from './message.js';
import { attempt, everywhere, onChange } from './remember.js';
import { say, timeOf } from './words.js';

const CALM = 5000; // ms of trouble that are not shown

/** Emits `retry` when the reader asks for it. */
export class Status extends Source {
  #line = find('status');
  #text = find('status-text');
  #detail = find('status-detail');
  #button = find('retry');
  #link = find('log-in');
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #later;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #countdown;
  #shown = false;
  #state = 'connecting';
  #word = 'connecting';
  #retryAt = 0;
  lastAt = 0;

  constructor() {
    super();
    this.#button.addEventListener('click', () => this.emit('retry'));
    this.#later = setTimeout(() => this.#reveal(), CALM);
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
      this.#later ??= setTimeout(() => this.#reveal(), CALM);
    } else {
      this.#shown = true;
    }
    this.#draw();
  }

  #reveal() {
    this.#shown = true;
    this.#draw();
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

/** Notices for a reader who looks elsewhere. */
export class Notice {
  #icon = find('icon');
  #unread = 0;
  #title = '';

  constructor() {
    for (const id of ['notify', 'sound']) {
      const recall = () => {
        find(id).checked = everywhere.get(id, false) && (id === 'sound' || this.#allowed);
        if (find(id).checked) bell(() => {});
      };
      recall();
      onChange(id, recall);
      find(id).addEventListener('change', () => bell(({ choose }) => choose(id)));
    }
    if (!('Notification' in window)) find('notify').parentElement.hidden = true;
  }

  get #allowed() {
    return attempt(() => Notification.permission) === 'granted';
  }

  /** @param {string} title */
  show(title) {
    this.#title = title;
    this.#draw();
  }

  /** @param {number} count */
  unread(count) {
    this.#unread = count;
    this.#draw();
  }

  #draw() {
    const at = mentions?.unread() ?? '';
    const title = this.#unread ? `(${at}${this.#unread}) ${this.#title}` : this.#title;
    if (title === document.title) return;
    document.title = title;
    this.#icon.href = `icon${this.#unread ? at ? '-mention' : '-unread' : ''}.svg`;
    attempt(() => navigator.setAppBadge(this.#unread))?.catch(() => {});
  }

  /** @param {Message} message @param {boolean} isSeen */
  message(message, isSeen) {
    const [sound, notify] = [find('sound').checked, find('notify').checked && this.#allowed];
    if (sound || notify) bell(({ ring }) => ring(message, isSeen, sound, notify));
  }
}
