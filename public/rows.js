// The rows in the page: stored messages by id, then unsent ones.

import { find, keepFocus, make } from './dom.js';
import { isMine } from './drafts.js';
import { bubble } from './message.js';
import { compareIds } from './sse-chat.js';
import { dayOf, say } from './words.js';

const SAME_BREATH = 5 * 60_000; // ms in which one author's messages share a header

/** @param {string} kind @param {string} text */
const divider = (kind, text) => make('p', { class: `divider ${kind}` }, make('span', {}, text));

/** Unacknowledged changes, by message: how it will look, and how their state is shown. @type {Map<string, {changed: (message: Message) => Message, tell: (row: Row) => void}>} */
export const previews = new Map();

export class Row {
  item = make('li');
  own = false;
  gap = false; // some messages may be missing before it

  /** @param {Message} message */
  constructor(message) {
    this.message = message;
    this.item.dataset.id = message.id;
    this.item.append(make('article'));
    this.recognize();
  }

  get id() {
    return this.message.id;
  }

  recognize() {
    this.own = this.id === '' || isMine(this.message);
    this.draw();
  }

  /** @param {Message} message */
  renew(message) {
    if ((message.edited ?? 0) < (this.message.edited ?? 0)) return; // older
    const differs = JSON.stringify(message) !== JSON.stringify(this.message);
    this.message = message;
    if (differs) this.draw();
  }

  /** The message with the reader's changes. */
  get shown() {
    return previews.get(this.id)?.changed(this.message) ?? this.message;
  }

  draw() {
    keepFocus(this.item, () => this.item.querySelector('article')?.replaceWith(bubble(this.shown, this.own)));
    previews.get(this.id)?.tell(this);
  }

  /** It is stored now. Its element stays, so it is not read out again. @param {Message} message */
  arrive(message) {
    this.message = message;
    this.item.className = '';
    this.item.dataset.id = message.id;
    this.item.replaceChildren(bubble(message, this.own));
  }

  /** Shows its state. @param {''|'pending'|'failed'} state @param {string} [text] @param {Record<string, () => void>} [choices] @param {number} [until] when it is sent */
  tell(state, text = '', choices = {}, until = 0) {
    this.item.classList.toggle('pending', state === 'pending');
    this.item.classList.toggle('failed', state === 'failed');
    const old = this.item.querySelector('.fate');
    if (!text) {
      old?.remove();
      return;
    }
    const fate = make('p', { class: 'fate' }, text);
    for (const [word, onclick] of Object.entries(choices)) {
      fate.append(' ', make('button', { type: 'button', class: 'quiet', onclick }, say(word)));
    }
    const isSame = old?.isEqualNode(fate);
    if (!isSame) {
      keepFocus(this.item, () => {
        old?.remove();
        this.item.append(fate);
      });
    }
    if (until > Date.now()) import('./waiting.js').then(({ countDown }) => countDown(/** @type {HTMLElement} */ (isSame ? old : fate), until), () => {});
  }

  /** Sets what depends on the row before it. @param {Row} [before] @param {boolean} [fresh] it is the first unread one */
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

  /** Two rows without a name and key may be two people. @param {Row} [other] */
  #isBySame(other) {
    const { name, author } = this.message;
    return other?.own === this.own && other.message.name === name && (this.own || (Boolean(name ?? author) && other.message.author === author));
  }
}

export class Rows {
  #list = find('messages');
  /** @type {Row[]} */
  #rows = [];
  /** @type {Map<string, Row>} */
  #byID = new Map();
  /** @type {Map<string, Row>} unsent */
  #byNonce = new Map();

  /** @param {(row: Row, before?: Row) => boolean} isFresh */
  constructor(isFresh) {
    this.isFresh = isFresh;
  }

  get isEmpty() {
    return this.#rows.length === 0;
  }

  get stored() {
    return this.#rows.length - this.#byNonce.size;
  }

  get pending() {
    return [...this.#byNonce.values()];
  }

  get items() {
    return this.#rows.map((row) => row.item);
  }

  get oldest() {
    return this.#rows[0]?.id ?? '';
  }

  get newest() {
    return this.#rows[this.stored - 1]?.id ?? '';
  }

  /** @param {string} id */
  get(id) {
    return this.#byID.get(id);
  }

  /** @param {(id: string) => boolean} test */
  where(test) {
    return this.#rows.filter((row) => row.id && test(row.id));
  }

  /** @param {(row: Row) => boolean} test */
  findLast(test) {
    return this.#rows.findLast((row) => row.id && test(row));
  }

  /** @param {string} id */
  placeOf(id) {
    return this.#rows.findLastIndex((row) => row.id && compareIds(row.id, id) < 0) + 1;
  }

  clear() {
    this.#rows = [];
    this.#byID.clear();
    this.#byNonce.clear();
    this.#list.replaceChildren();
  }

  /** @param {number} i @param {Row} row */
  insert(i, row) {
    this.#rows.splice(i, 0, row);
    const next = this.#rows[i + 1]?.item ?? null;
    if (!row.item.isConnected || row.item.nextElementSibling !== next) this.#list.insertBefore(row.item, next);
    if (row.id) this.#byID.set(row.id, row);
    else this.#byNonce.set(row.message.nonce ?? '', row);
    this.#dress(i);
    this.#dress(i + 1);
  }

  /** @param {Row} row */
  append(row) {
    this.insert(row.id ? this.stored : this.#rows.length, row);
  }

  /** @param {string} nonce */
  onItsWay(nonce) {
    return this.#byNonce.get(nonce);
  }

  /** Removes an unsent one, but leaves it in the page. @param {string} [nonce] */
  take(nonce = '') {
    const row = this.#byNonce.get(nonce);
    if (!row) return undefined;
    this.#byNonce.delete(nonce);
    const i = this.#rows.indexOf(row);
    this.#rows.splice(i, 1);
    this.#dress(i);
    return row;
  }

  /** @param {Row[]} rows consecutive stored ones */
  drop(rows) {
    for (const row of rows) {
      row.item.remove();
      this.#byID.delete(row.id);
    }
    const i = this.#rows.indexOf(rows[0]);
    if (i < 0) return;
    this.#rows.splice(i, rows.length);
    this.#dress(i);
  }

  /** @param {number} most */
  trimAbove(most) {
    const surplus = Math.max(0, this.stored - most);
    this.drop(this.#rows.slice(0, surplus));
    return surplus > 0;
  }

  /** @param {number} most */
  trimBelow(most) {
    const surplus = this.#rows.slice(most, this.stored);
    this.drop(surplus);
    return surplus.length > 0;
  }

  recognize() {
    for (const row of this.#rows) row.recognize();
    this.redress();
  }

  redress() {
    this.#rows.forEach((_, i) => this.#dress(i));
  }

  /** @param {number} i */
  #dress(i) {
    const row = this.#rows[i];
    row?.dress(this.#rows[i - 1], this.isFresh(row, this.#rows[i - 1]));
  }
}
