// Notices for a reader who looks elsewhere.

import { find } from './dom.js';
import { attempt, everywhere, onChange } from './remember.js';

/** @param {(bell: typeof import('./bell.js')) => unknown} use */
const bell = (use) => import('./bell.js').then(use).catch(() => {});

export class Notice {
  #icon = find('icon');
  #unread = 0;
  #title = '';

  constructor() {
    for (const id of ['notify', 'sound']) {
      const recall = () => {
        find(id).checked = everywhere.get(id, false) && (id === 'sound' || this.#allowed);
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
    if (count === this.#unread) return;
    this.#unread = count;
    this.#draw();
  }

  #draw() {
    document.title = this.#unread ? `(${this.#unread}) ${this.#title}` : this.#title;
    this.#icon.href = this.#unread ? 'icon-unread.svg' : 'icon.svg';
    attempt(() => navigator.setAppBadge(this.#unread))?.catch(() => {});
  }

  /** @param {Message} message @param {string} room @param {boolean} isSeen */
  message(message, room, isSeen) {
    const [sound, notify] = [find('sound').checked, find('notify').checked && this.#allowed];
    if (sound || notify) bell(({ ring }) => ring(message, room, isSeen, sound, notify));
  }
}
