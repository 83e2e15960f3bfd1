// Who is here, and what the reader is called.

import { find, make, Source } from './dom.js';
import { hueOf, nameTag, VISIBLE } from './message.js';
import { everywhere, onChange } from './remember.js';
import { say, sayCount } from './words.js';

// what the server takes and tells
const MOST_BYTES = 64;
const MOST_NAMES = 100;

/** Emits `name` when the reader wants to be called something else. */
export class People extends Source {
  #field = find('name');
  #ask = find('ask');
  #count = find('count');
  #list = find('people');
  /** @type {Map<string, Presence>} */
  #presence = new Map();
  #room = '';
  name = fitting(everywhere.get('name', ''));

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
    onChange('name', () => this.#field.readOnly || this.#take(fitting(everywhere.get('name', ''))));
  }

  #settle() {
    everywhere.set('asked', true);
    this.#ask.hidden = true;
    find('text').focus();
  }

  /** @param {string} wanted */
  #rename(wanted) {
    const name = fitting(wanted);
    this.#field.value = name;
    if (name === this.name) return;
    everywhere.set('name', name);
    this.#take(name);
  }

  /** @param {string} name */
  #take(name) {
    this.name = this.#field.value = name;
    this.#colour();
    this.emit('name', name);
  }

  /** What the server calls the reader, '' if it leaves that to the reader. @param {string} name */
  given(name) {
    this.#field.readOnly = name !== '';
    this.name = this.#field.value = name || fitting(everywhere.get('name', ''));
    this.#ask.hidden = this.name !== '' || everywhere.get('asked', false);
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

  /** @param {Presence} presence */
  present(presence) {
    this.#presence.set(presence.room, presence);
    if (presence.room === this.#room) this.#draw();
  }

  #draw() {
    const { count = 0, names = [] } = this.#presence.get(this.#room) ?? {};
    this.#count.textContent = count ? sayCount('here', count) : '';
    const unnamed = count - names.length;
    this.#list.replaceChildren(
      ...names.map((name) => make('li', {}, nameTag(name), name === this.name ? ` (${say('you')})` : '')),
      ...(unnamed > 0 && names.length < MOST_NAMES ? [make('li', { class: 'nameless' }, sayCount('unnamed', unnamed))] : []));
  }
}

/** @param {string} wanted */
function fitting(wanted) {
  const name = wanted.replace(/(?![\u200c\u200d\u{e0020}-\u{e007f}])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').trim();
  let fits = '';
  for (const { segment } of new Intl.Segmenter().segment(name)) {
    if (new TextEncoder().encode(fits + segment).length > MOST_BYTES) break;
    fits += segment;
  }
  return VISIBLE.test(fits) ? fits : '';
}
