// One message in the timeline, and what stands above and below it.

import { make } from './dom.js';
import { bubble } from './message.js';
import { isMine } from './mine.js';
import { dayOf, say } from './words.js';

/** @typedef {import('./connection.js').Message} Message */

const SAME_BREATH = 5 * 60_000; // one header for what one says in so many ms

/** @param {string} kind @param {string} text */
const divider = (kind, text) => make('p', { class: `divider ${kind}` }, make('span', {}, text));

export class Row {
  item = make('li');
  gap = false; // some messages may be missing before it

  /** @param {Message} message with an empty id while it is not sent */
  constructor(message) {
    this.message = message;
    this.own = message.id === '' || isMine(message);
    this.item.append(bubble(message, this.own));
  }

  get id() {
    return this.message.id;
  }

  /**
   * One that was on its way has arrived. Its element stays, so that it is not
   * read out again.
   * @param {Message} message as the server has it
   */
  arrive(message) {
    this.message = message;
    this.item.className = '';
    this.item.replaceChildren(bubble(message, this.own));
  }

  /**
   * Says how one does that is on its way.
   * @param {string} [error] why it has failed
   * @param {Record<string, () => void>} [choices] what may be done then, by word
   */
  progress(error, choices = {}) {
    this.item.classList.toggle('pending', !error);
    this.item.classList.toggle('failed', Boolean(error));
    this.item.querySelector('.fate')?.remove();
    const fate = make('p', { class: 'fate' }, error ? `${say('failed')}: ${error}` : say('sending'));
    for (const [word, onclick] of Object.entries(choices)) {
      fate.append(' ', make('button', { type: 'button', onclick }, say(word)));
    }
    this.item.append(fate);
  }

  /**
   * Gives it what depends on the one before it: the day, a gap, the unread
   * line, and whether it needs a header of its own.
   * @param {Row} [before]
   * @param {boolean} [fresh] it is the first one that the reader has not read
   */
  dress(before, fresh) {
    const at = new Date(this.message.timestamp);
    const last = new Date(before?.message.timestamp ?? 0);
    for (const old of this.item.querySelectorAll('.divider')) old.remove();
    const dividers = [];
    if (at.toDateString() !== last.toDateString()) dividers.push(divider('day', dayOf(at)));
    if (this.gap) dividers.push(divider('gap', say('gap')));
    if (fresh) dividers.push(divider('fresh', say('fresh')));
    this.item.prepend(...dividers);
    this.item.classList.toggle('follows', Boolean(before) && dividers.length === 0 && this.#isBySame(before)
      && Number(at) - Number(last) < SAME_BREATH);
  }

  /**
   * Whether one person wrote both, as far as one can tell: two without a name
   * may be two people.
   * @param {Row} [other]
   */
  #isBySame(other) {
    return other?.own === this.own && other.message.name === this.message.name && (this.own || Boolean(this.message.name));
  }
}
