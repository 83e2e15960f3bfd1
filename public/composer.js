// The form for writing messages.

import { find, Source } from './dom.js';
import { here } from './remember.js';
import { say } from './words.js';

const MOST_BYTES = 8192; // the server may say otherwise

const encoder = new TextEncoder();

const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/** The text as it may be sent. @param {string} typed */
export const cleaned = (typed) => typed.replace(controls, '').toWellFormed().trimEnd();

/** Whether a key sends. On a touch screen it is a new line. @param {KeyboardEvent} event */
export const sends = ({ key, shiftKey, ctrlKey, altKey, metaKey }) => key === 'Enter' && !shiftKey && !ctrlKey && !altKey && !metaKey
  && !matchMedia('(hover: none) and (pointer: coarse)').matches;

/** Emits `send` with the text, and `last` to change the last message. */
export class Composer extends Source {
  /** @type {HTMLTextAreaElement} */
  #field = find('text');
  #counter = find('counter');
  #room = '';
  #composing = false;

  /** The message that the next one answers. */
  replyTo = '';

  constructor() {
    super();
    this.#field.addEventListener('compositionstart', () => {
      this.#composing = true;
    });
    this.#field.addEventListener('compositionend', () => {
      this.#composing = false;
    });
    this.#field.addEventListener('input', () => this.#changed());
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
    this.replyTo = '';
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
    if (sends(event)) {
      event.preventDefault();
      this.#send();
    } else if (event.key === 'ArrowUp' && this.#field.value === '') {
      event.preventDefault();
      this.emit('last');
    }
  }

  #send() {
    const text = cleaned(this.#field.value);
    if (text.trim() === '') return;
    if (encoder.encode(text).length > MOST_BYTES) {
      this.#field.focus();
      return;
    }
    this.#field.value = '';
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
