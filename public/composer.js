// The form for writing messages.

import { find, Source } from './dom.js';
import { everywhere } from './remember.js';

const encoder = new TextEncoder();

const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

const isTouch = () => matchMedia('(hover: none) and (pointer: coarse)').matches;

/** Emits `send` with the text. */
export class Composer extends Source {
  /** @type {HTMLTextAreaElement} */
  #field = find('text');
  #counter = find('counter');
  #room = '';
  #composing = false;

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
    this.#fill('');
    if (everywhere.keys('draft ').length) import('./drafts.js').then(({ take }) => room === this.#room && this.#fill(take(room) + this.#field.value), () => {});
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
    if (type !== 'dragover') import('./received.js').then(({ receive }) => receive(text, hasFile), () => {});
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // an Enter that ends a composition is the input method's; in Safari only
    // the key code shows it
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey) {
      if (isTouch()) return; // a new line there
      event.preventDefault();
      this.#send();
    } else if (/^Arrow(Up|Down)$/.test(event.key)) {
      import('./recall.js').then(({ recall }) => recall(event.key === 'ArrowUp' ? 1 : -1), () => {});
    }
  }

  #send() {
    const text = this.#text;
    this.focus();
    if (!text.trim() || encoder.encode(text).length > this.#most) return;
    this.#field.value = '';
    import('./recall.js').then(({ remember }) => remember(text), () => {});
    this.#changed();
    this.emit('send', text);
  }

  get #text() {
    return this.#field.value.replace(controls, '').toWellFormed().trimEnd();
  }

  /** In bytes, unless the server has said otherwise. */
  get #most() {
    return Number(this.#field.dataset.most) || 8192;
  }

  #changed() {
    const [room, text] = [this.#room, this.#field.value];
    import('./drafts.js').then(({ keep }) => keep(room, room === this.#room ? this.#field.value : text), () => {});
    this.#grow();
  }

  #grow() {
    // a character has at most three bytes
    if (6 * this.#field.value.length > this.#most || !this.#counter.hidden) {
      import('./counter.js').then(({ count }) => count(this.#field, this.#counter, this.#text, this.#most), () => {});
    }
    if (!CSS.supports('field-sizing', 'content')) {
      this.#field.style.height = 'auto';
      this.#field.style.height = `${this.#field.scrollHeight + 2}px`;
    }
  }
}
