// Who is here, and the reader's name.

import { find, Source } from './dom.js';
import { chat } from './history.js';
import { hueOf } from './message.js';
import { everywhere, onChange } from './remember.js';
import { say, sayCount } from './words.js';

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
    this.#field.value = this.name;
    this.#colour();
    for (const [form, field] of [['self', 'name'], ['ask', 'ask-name']]) {
      find(form).addEventListener('submit', (/** @type {Event} */ event) => {
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
    chosen = name;
    everywhere.set('name', name);
    this.#take(name);
  }

  /** @param {string} name */
  #take(name) {
    this.name = this.#field.value = name;
    this.#colour();
    this.emit('name', name);
  }

  /** The name from the server, '' if the reader may choose. @param {string} name */
  given(name) {
    if (name === '' && !this.#field.readOnly) return;
    this.#field.readOnly = name !== '';
    this.name = this.#field.value = name || chosen;
    if (name) everywhere.set('asked', this.#ask.hidden = true);
    this.#colour();
    this.#draw();
  }

  #colour() {
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
