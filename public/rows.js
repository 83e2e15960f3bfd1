// The rows in the page, by id and then unsent ones, and the reader's place among them.

import { bubble, dayOf, find, isMine, keepFocus, load, make, say, sayCount, Source } from './page.js';
import { compareIds } from './sse-chat.js';

const SAME_BREATH = 5 * 60_000; // ms in which one author's messages share a header
const NEAR_END = 100; // px

/** @param {string} kind @param {string} text */
const divider = (kind, text) => make('p', { class: `divider ${kind}` }, make('span', {}, text));

/** Unacknowledged changes, by message. @type {Map<string, Preview>} */
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

  /** With the reader's changes. */
  get shown() {
    return previews.get(this.id)?.changed(this.message) ?? this.message;
  }

  draw() {
    keepFocus(this.item, () => this.item.querySelector('article')?.replaceWith(bubble(this.shown, this.own)));
    previews.get(this.id)?.tell(this);
  }

  /** Its element stays, so it is not read out again. @param {Message} message */
  arrive(message) {
    this.message = message;
    this.item.className = '';
    this.item.dataset.id = message.id;
    this.item.replaceChildren(bubble(message, this.own));
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

  /** It stays in the page. @param {string} [nonce] */
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

/** Emits `seen` {id}, `unseen` {count}, `scrolled`, and to go there `end` and `fresh`. */
export class Reader extends Source {
  #scroller = find('scroller');
  #pill = find('pill');
  #toFresh = find('to-fresh');
  #unseen = 0;
  #read = '';
  #metFresh = false; // the unread line has been in view
  #size = ''; // of the window, at the last check

  atEnd = true;
  isHeld = false; // the list stays where it is
  /** The unread line is after this id; '' for none. */
  edge = '';

  constructor() {
    super();
    this.#pill.addEventListener('click', () => this.emit('end'));
    this.#toFresh.addEventListener('click', () => this.emit('fresh'));
    this.#scroller.addEventListener('scroll', () => this.emit('scrolled'), { passive: true });
    for (const type of ['pointerdown', 'pointerup', 'pointercancel', 'selectionchange']) {
      document.addEventListener(type, (event) => {
        if (type === 'selectionchange' && !this.isHeld && getSelection()?.isCollapsed) return;
        load('./menu.js').then(({ hold }) => hold(event, this));
      });
    }
    // keyboards and windows change the height
    new ResizeObserver(() => this.#resized()).observe(this.#scroller);
  }

  /** @param {string} read */
  enter(read) {
    this.#read = read;
    this.#unseen = 0;
    this.atEnd = true;
    this.moveEdge(read);
  }

  /** Whether the newest message in the page is in view. */
  get watches() {
    return this.atEnd && document.visibilityState === 'visible' && document.hasFocus();
  }

  #resized() {
    const size = `${this.#scroller.clientWidth} ${this.#scroller.clientHeight}`;
    if (size === this.#size) return;
    this.#size = size;
    if (this.atEnd) this.toEnd();
  }

  /** @param {string} id */
  moveEdge(id) {
    this.edge = id;
    this.#metFresh = false;
  }

  /** Somebody else's message. Returns whether the unread line has moved. @param {string} id @param {string} before */
  count(id, before) {
    if (this.watches || compareIds(id, this.#read) <= 0) return false;
    const first = this.#unseen++ === 0;
    if (first) this.moveEdge(this.#read || before);
    return first;
  }

  /** @type {Look} */
  look(newest, isWhole, oldest) {
    this.#resized(); // not a move of the reader
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    const isNear = isWhole && scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.atEnd = isNear && !this.isHeld;
    if (this.watches) {
      this.#unseen = 0;
      if (compareIds(newest, this.#read) > 0) {
        this.#read = newest;
        this.emit('seen', newest);
      }
    }
    this.#pill.hidden = isNear && !(this.isHeld && this.#unseen);
    this.#pill.textContent = this.#unseen ? sayCount('more', this.#unseen) : say('toEnd');
    this.#toFresh.hidden = !this.#isFreshAbove(oldest);
    this.emit('unseen', this.#unseen);
  }

  /** @param {string} oldest */
  #isFreshAbove(oldest) {
    if (!this.edge || this.#metFresh) return false;
    const line = document.querySelector('#messages .fresh');
    // without a line in the page, it is above all messages
    if (!line) return oldest !== '' && compareIds(this.edge, oldest) < 0;
    const above = line.getBoundingClientRect().bottom < this.#scroller.getBoundingClientRect().top;
    this.#metFresh = !above && document.visibilityState === 'visible';
    return above;
  }

  /** @type {Nearing} */
  nearing(end, hasMore, load) {
    const sentinel = find(end);
    const observer = new IntersectionObserver(async ([entry]) => {
      if (!entry.isIntersecting || !hasMore() || !await load()) return;
      observer.unobserve(sentinel); // so it fires again
      observer.observe(sentinel);
    }, { root: this.#scroller, rootMargin: '400px 0px' });
    observer.observe(sentinel);
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  toFresh() {
    const line = document.querySelector('#messages .fresh');
    // scrollIntoView would scroll a page around this one, too
    if (line) this.#scroller.scrollTop += line.getBoundingClientRect().top - innerHeight / 2;
    return Boolean(line);
  }

  /** Keeps what is in view. @param {HTMLElement[]} items @param {() => void} change */
  keepPlace(items, change) {
    const edge = this.#scroller.getBoundingClientRect().top;
    const anchor = items.find((item) => item.getBoundingClientRect().bottom > edge);
    const was = anchor?.getBoundingClientRect().top ?? 0;
    change();
    if (anchor?.isConnected) this.#scroller.scrollTop += anchor.getBoundingClientRect().top - was;
  }
}
