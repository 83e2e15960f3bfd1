// What tells a reader who looks elsewhere: the title, the badge of an installed
// page, and, once asked for, notifications and a sound.

import { find } from './dom.js';
import { everywhere, onChange, PLACE } from './remember.js';
import { say } from './words.js';

export class Notice {
  #notify = find('notify');
  #sound = find('sound');
  #icon = find('icon');
  #unread = 0;
  #title = '';
  /** @type {AudioContext|undefined} */
  #audio;

  constructor() {
    this.#recall();
    onChange('notify', () => this.#recall());
    onChange('sound', () => this.#recall());
    if (!('Notification' in window)) this.#notify.parentElement.hidden = true;
    this.#notify.addEventListener('change', async () => {
      if (this.#notify.checked && !this.#allowed) {
        this.#notify.checked = await Notification.requestPermission() === 'granted';
        find('blocked').hidden = this.#notify.checked;
      }
      everywhere.set('notify', this.#notify.checked);
    });
    this.#sound.addEventListener('change', () => {
      everywhere.set('sound', this.#sound.checked);
      if (this.#sound.checked) this.#beep(); // so that one hears what it is
    });
  }

  #recall() {
    this.#notify.checked = everywhere.get('notify', false) && this.#allowed;
    this.#sound.checked = everywhere.get('sound', false);
  }

  get #allowed() {
    return 'Notification' in window && Notification.permission === 'granted';
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
    if ('setAppBadge' in navigator) navigator.setAppBadge(this.#unread).catch(() => {});
  }

  /**
   * Of all tabs only one tells it, and none if somebody looks at one that shows it.
   * @param {Message} message
   * @param {string} room
   * @param {boolean} isSeen
   */
  async message(message, room, isSeen) {
    if (!this.#sound.checked && !this.#notify.checked) return;
    // the one that is looked at is first
    if (!isSeen) await new Promise((resolve) => setTimeout(resolve, 300));
    if (!await isFirst(message.id) || isSeen) return;
    if (this.#sound.checked) this.#beep();
    if (!this.#notify.checked || !this.#allowed) return;
    try {
      const notification = new Notification(`${message.name ?? say('nameless')} · ${room}`, { body: message.text, tag: PLACE + room, icon: 'icon-192.png' });
      notification.onclick = () => window.focus();
    } catch { /* Android has them only with a service worker */ }
  }

  #beep() {
    this.#audio ??= new AudioContext();
    const [tone, volume] = [this.#audio.createOscillator(), this.#audio.createGain()];
    const now = this.#audio.currentTime;
    volume.gain.setValueAtTime(0.08, now);
    volume.gain.exponentialRampToValueAtTime(0.0001, now + 0.3);
    tone.connect(volume).connect(this.#audio.destination);
    tone.start();
    tone.stop(now + 0.3);
  }
}

/** @param {string} id @returns {Promise<boolean>} */
function isFirst(id) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    navigator.locks.request(`${PLACE}notice ${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise((end) => setTimeout(end, 5000));
    });
  });
}
