// The rows that are in the page: stored messages by their ids, then those that
// are on their way.

import { find } from './dom.js';
import { compare } from './ids.js';

/** @typedef {import('./row.js').Row} Row */

export class Rows {
  #list = find('messages');
  /** @type {Row[]} */
  #rows = [];
  /** @type {Map<string, Row>} */
  #byID = new Map();
  /** @type {Map<string, Row>} on their way */
  #byNonce = new Map();

  /** @param {(row: Row, before?: Row) => boolean} isFresh whether the unread line is above a row */
  constructor(isFresh) {
    this.isFresh = isFresh;
  }

  get isEmpty() {
    return this.#rows.length === 0;
  }

  /** How many are stored. */
  get stored() {
    return this.#rows.length - this.#byNonce.size;
  }

  get pending() {
    return [...this.#byNonce.values()];
  }

  get items() {
    return this.#rows.map((row) => row.item);
  }

  /** The ids of the first and last stored message, or ''. */
  get oldest() {
    return this.#rows[0]?.id ?? '';
  }

  get newest() {
    return this.#rows[this.stored - 1]?.id ?? '';
  }

  /** @param {string} id */
  has(id) {
    return this.#byID.has(id);
  }

  /** @param {string} id @returns {Row[]} the one with this id */
  only(id) {
    return this.#rows.filter((row) => row.id === id && id);
  }

  /** @param {string} id @returns {Row[]} the stored ones behind it */
  after(id) {
    return this.#rows.slice(this.placeOf(id), this.stored).filter((row) => row.id !== id);
  }

  /** Where a message belongs. @param {string} id */
  placeOf(id) {
    return this.#rows.findLastIndex((row) => row.id && compare(row.id, id) < 0) + 1;
  }

  clear() {
    this.#rows = [];
    this.#byID.clear();
    this.#byNonce.clear();
    this.#list.replaceChildren();
  }

  /**
   * @param {number} i
   * @param {Row} row if it is in the page already, it stays the same element
   */
  insert(i, row) {
    this.#rows.splice(i, 0, row);
    const next = this.#rows[i + 1]?.item ?? null;
    if (!row.item.isConnected || row.item.nextElementSibling !== next) this.#list.insertBefore(row.item, next);
    if (row.id) this.#byID.set(row.id, row);
    else this.#byNonce.set(row.message.nonce ?? '', row);
    this.#dress(i);
    this.#dress(i + 1);
  }

  /** Inserts one that is on its way, or a stored one behind all others. @param {Row} row */
  append(row) {
    this.insert(row.id ? this.stored : this.#rows.length, row);
  }

  /** @param {string} nonce */
  onItsWay(nonce) {
    return this.#byNonce.get(nonce);
  }

  /**
   * Takes out one that was on its way, but leaves it in the page.
   * @param {string} [nonce]
   */
  take(nonce = '') {
    const row = this.#byNonce.get(nonce);
    if (!row) return undefined;
    this.#byNonce.delete(nonce);
    const i = this.#rows.indexOf(row);
    this.#rows.splice(i, 1);
    this.#dress(i);
    return row;
  }

  /** @param {Row[]} rows */
  drop(rows) {
    if (!rows.length) return;
    const gone = new Set(rows);
    for (const row of rows) {
      row.item.remove();
      this.#byID.delete(row.id);
    }
    this.#rows = this.#rows.filter((row) => !gone.has(row));
    this.redress();
  }

  /** Keeps the last stored ones. @param {number} most @returns {boolean} whether there were more */
  trimAbove(most) {
    const surplus = Math.max(0, this.stored - most);
    this.drop(this.#rows.slice(0, surplus));
    return surplus > 0;
  }

  /** Keeps the first stored ones. @param {number} most @returns {boolean} whether there were more */
  trimBelow(most) {
    const surplus = this.#rows.slice(most, this.stored);
    this.drop(surplus);
    return surplus.length > 0;
  }

  /** Writes anew what depends on the row before, the day and what was read. */
  redress() {
    this.#rows.forEach((_, i) => this.#dress(i));
  }

  /** @param {number} i */
  #dress(i) {
    const row = this.#rows[i];
    row?.dress(this.#rows[i - 1], this.isFresh(row, this.#rows[i - 1]));
  }
}
