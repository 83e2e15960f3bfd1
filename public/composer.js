// The form for writing messages.

import { find, Source } from './dom.js';
import { here, isText } from './remember.js';
import { say } from './words.js';

const MOST_BYTES = 8192; // the server may say otherwise
const RECALL = 100;

const encoder = new TextEncoder();

const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/** Emits `send` with the text. */
export class Composer extends Source {
  /** @type {HTMLTextAreaElement} */
  #field = find('text');
  #counter = find('counter');
  #room = '';
  #composing = false;
  #sent = here.list('sent', isText);
  #recalled = 0; // how many back

  constructor() {
    super();
    this.#field.addEventListener('compositionstart', () => {
      this.#composing = true;
    });
    this.#field.addEventListener('compositionend', () => {
      this.#composing = false;
    });
    this.#field.addEventListener('input', () => {
      this.#recalled = 0;
      this.#changed();
    });
    this.#field.addEventListener('keydown', (event) => this.#key(event));
    find('composer').addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      // a composition interrupted by the button ends in the next task
      if (this.#composing) setTimeout(() => this.#send());
      else this.#send();
    });
  }

  /** @param {string} room */
  show(room) {
    this.#room = room;
    this.#field.value = here.get(`draft ${room}`, '');
    this.#recalled = 0;
    this.#changed();
  }

  focus() {
    this.#field.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // an Enter that ends a composition is the input method's; in Safari only
    // the key code shows it
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey) {
      if (matchMedia('(hover: none) and (pointer: coarse)').matches) return; // a new line there
      event.preventDefault();
      this.#send();
    } else if (event.key === 'ArrowUp' && (this.#field.value === '' || this.#recalled)) {
      this.#recall(event, 1);
    } else if (event.key === 'ArrowDown' && this.#recalled) {
      this.#recall(event, -1);
    }
  }

  /** @param {KeyboardEvent} event @param {number} by */
  #recall(event, by) {
    const back = this.#recalled + by;
    if (back < 0 || back > this.#sent.length) return;
    event.preventDefault();
    this.#recalled = back;
    this.#field.value = back ? this.#sent[this.#sent.length - back] : '';
    this.#changed();
  }

  #send() {
    const text = this.#field.value.replace(controls, '').toWellFormed().trimEnd();
    if (text.trim() === '') return;
    if (encoder.encode(text).length > MOST_BYTES) {
      this.#field.focus();
      return;
    }
    this.#field.value = '';
    this.#recalled = 0;
    this.#sent = [...this.#sent, text].slice(-RECALL);
    here.set('sent', this.#sent);
    this.#changed();
    this.focus();
    this.emit('send', text);
  }

  #changed() {
    here.set(`draft ${this.#room}`, this.#field.value);
    const left = MOST_BYTES - encoder.encode(this.#field.value).length;
    this.#counter.hidden = left > MOST_BYTES / 10;
    this.#counter.textContent = left < 0 ? say('over', -left) : say('left', left);
    this.#field.setAttribute('aria-invalid', String(left < 0));
    if (!CSS.supports('field-sizing', 'content')) {
      this.#field.style.height = 'auto';
      this.#field.style.height = `${this.#field.scrollHeight + 2}px`;
    }
  }
}
