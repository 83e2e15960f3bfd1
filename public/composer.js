// The form for writing messages.

import { find, load, Source } from './dom.js';
import { everywhere } from './remember.js';

const encoder = new TextEncoder();

const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/** The text as it may be sent. @param {string} typed */
export const cleaned = (typed) => typed.replace(controls, '').toWellFormed().trimEnd();

const isTouch = () => matchMedia('(hover: none) and (pointer: coarse)').matches;

/** Whether a key sends. On a touch screen it is a new line. @param {KeyboardEvent} event */
export const sends = ({ key, shiftKey, ctrlKey, altKey, metaKey }) => key === 'Enter' && !(shiftKey || ctrlKey || altKey || metaKey || isTouch());

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
    for (const type of ['keydown', 'paste', 'dragover', 'drop']) document.addEventListener(type, (event) => this.#receive(event));
  }

  /** @param {string} room */
  show(room) {
    this.#room = room;
    this.replyTo = '';
    this.#fill('');
    if (everywhere.keys('draft ').length) import('./unsent.js').then(({ take }) => room === this.#room && this.#fill(take(room) + this.#field.value), () => {});
  }

  /** @param {string} text */
  #fill(text) {
    this.#field.value = text;
    this.#grow();
  }

  /** Not if a keyboard would cover the page, or another page is around it. */
  begin() {
    if (top === window && !isTouch()) this.focus();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  /** What comes where nothing else takes it; a space scrolls. @param {any} event */
  #receive(event) {
    const { type, target, key, clipboardData: data = event.dataTransfer } = event;
    if (event.defaultPrevented) return;
    if (type === 'keydown') {
      if (/^\S$/.test(key) && !(event.ctrlKey || event.metaKey || event.altKey)
        && target.matches(':root:not(:has(:popover-open)) :is(body, a, li, article, #scroller)')) this.focus();
      return;
    }
    const text = data.getData('text');
    const hasFile = data.types.includes('Files');
    // the browser inserts it
    if (/input|textarea/.test(target.localName) && (type === 'paste' ? text : !hasFile)) return;
    event.preventDefault();
    if (type !== 'dragover') import('./pasted.js').then(({ receive }) => receive(text, hasFile), () => {});
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
    this.focus();
    if (!text.trim() || encoder.encode(text).length > this.#most) return;
    this.#field.value = '';
    this.#changed();
    this.emit('send', text);
  }

  /** In bytes, unless the server has said otherwise. */
  get #most() {
    return Number(this.#field.dataset.most) || 8192;
  }

  #changed() {
    const [room, text] = [this.#room, this.#field.value];
    load('./unsent.js').then(({ keep }) => keep(room, room === this.#room ? this.#field.value : text), () => {});
    this.#grow();
  }

  #grow() {
    // a character has at most three bytes
    if (6 * this.#field.value.length > this.#most || !this.#counter.hidden) {
      import('./counter.js').then(({ count }) => count(this.#field, this.#counter, cleaned(this.#field.value), this.#most), () => {});
    }
    if (!CSS.supports('field-sizing', 'content')) {
      this.#field.style.height = 'auto';
      this.#field.style.height = `${this.#field.scrollHeight + 2}px`;
    }
  }
}
