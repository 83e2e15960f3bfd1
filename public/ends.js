// What stands above and below the messages: whether there are earlier ones, and
// whether some may be missing.

import { find, Source } from './dom.js';
import { say } from './words.js';

/** Emits `older` when the reader asks for earlier messages. */
export class Ends extends Source {
  #older = find('older');
  #beginning = find('beginning');
  #empty = find('empty');
  #gap = find('gap');

  constructor() {
    super();
    this.#older.addEventListener('click', () => this.emit('older'));
  }

  /** Nothing is known yet. */
  clear() {
    this.#older.hidden = this.#beginning.hidden = this.#empty.hidden = this.#gap.hidden = true;
  }

  /**
   * @param {boolean} isEmpty
   * @param {boolean} hasOlder
   */
  show(isEmpty, hasOlder) {
    this.#empty.hidden = !isEmpty || hasOlder;
    this.#beginning.hidden = isEmpty || hasOlder;
    const hidden = isEmpty || !hasOlder;
    // the focus must not get lost with the button
    if (hidden && document.activeElement === this.#older) find('scroller').focus({ preventScroll: true });
    this.#older.hidden = hidden;
  }

  /** @param {boolean} loading */
  busy(loading) {
    this.#older.textContent = say(loading ? 'loading' : 'older');
  }

  /** @param {boolean} open messages may be missing before the next one */
  gap(open) {
    this.#gap.hidden = !open;
  }
}
