// The messages of the shown room. Rows far out of view are removed, and fetched again when
// needed.

import { author, fetchPage, find, isMine, load, loadSpecial, PAGE, prepare, say, serverTime, Source } from './page.js';
import { Reader, Row, Rows } from './rows.js';
import { compareIds, LOBBY } from './sse-chat.js';

const MOST = 300; // rows in the page
const SOON = 10; // ms
const FEW = 10; // more are not read out

/** Emits `stored` {nonce}. */
export class Timeline extends Source {
  #scroller = find('scroller');
  #older = find('older');
  reader = new Reader();
  #rows = new Rows((row, before) => this.#isFresh(row, before));
  /** @type {Arrival[]} */
  #queue = [];
  /** Arrived while pages are on their way. @type {Set<Arrival[]>} */
  #late = new Set();
  #gone = new Set(); // deleted ids
  room = LOBBY;
  #generation = 0; // of the shown messages
  #hasOlder = true;
  #isNew = false; // it was empty before
  #hasNewer = false; // than the last row
  #newest = ''; // of the room
  #complete = ''; // nothing is missing in the room up to here
  #synced = false; // and the stream brings the rest
  #gapNext = false;
  #loading = false;
  #today = '';

  constructor() {
    super();
    this.#older.addEventListener('click', () => this.#loadOlder());
    this.reader.on('scrolled', () => this.looked());
    this.reader.on('end', () => this.toEnd());
    this.reader.on('fresh', () => this.#toFresh());
    this.reader.nearing('top', () => !this.#rows.isEmpty && this.#hasOlder, () => this.#loadOlder());
    this.reader.nearing('bottom', () => this.#hasNewer, () => this.#loadNewer());
  }

  /** @param {string} room @param {string} read */
  show(room, read) {
    this.room = room;
    this.#newest = '';
    this.#queue = [];
    this.#isNew = false;
    this.reader.enter(read);
    this.#clear();
    this.refresh();
  }

  #clear() {
    this.#generation++;
    this.#rows.clear();
    this.#hasOlder = true;
    this.#hasNewer = this.#gapNext = this.#synced = this.#loading = false;
    this.#complete = '';
    for (const id of ['gap', 'older', 'beginning', 'empty']) find(id).hidden = true;
  }

  /** What arrives meanwhile may be newer. @template T @param {Promise<T|null>} pages @param {(pages: T) => void} show */
  async #await(pages, show) {
    const generation = this.#generation;
    /** @type {Arrival[]} */
    const late = [];
    this.#late.add(late);
    const found = await pages;
    this.#late.delete(late);
    if (!found || generation !== this.#generation) return false;
    show(found);
    this.#take(late);
    return true;
  }

  /** Fetches missed messages, or the newest ones. */
  refresh() {
    this.#flush();
    this.#synced = false;
    const after = this.#complete;
    this.#await(fetchPage(this.room, after ? { after, limit: 200 } : {}), (page) => {
      if (!after || !page.more) {
        this.#fill(page, after);
        return;
      }
      this.#hasNewer = true;
      if (this.reader.atEnd) this.toEnd(); // too many to page through
      else this.#rows.drop(this.#rows.where((id) => compareIds(id, after) > 0));
    });
  }

  /** @param {Page} page @param {string} after */
  #fill(page, after) {
    if (!after) this.#hasOlder = page.more;
    this.#complete = page.messages.at(-1)?.id ?? after;
    this.#synced = true;
    this.#addAll(page.messages, after !== '' && page.messages.length <= FEW);
  }

  /** Shows other messages; unsent ones stay. @param {Query} query @param {(page: Page) => void} show */
  #restart(query, show) {
    return this.#await(fetchPage(this.room, query), (page) => {
      const { pending } = this.#rows;
      this.#clear();
      for (const row of pending) this.#rows.append(row);
      show(page);
    });
  }

  /** Changes may have been missed. @param {boolean} keeps expired messages */
  missed(keeps, from = this.#rows.oldest, to = this.#rows.newest) {
    return this.#await(loadSpecial().then(({ fetchRange }) => fetchRange(this.room, from, to, keeps)), (fill) => {
      this.#change(false, () => fill(this.#rows, (message) => this.#add(message, false)));
    });
  }

  /** Shows what arrives together in one go. @param {string} type @param {any} data */
  arrive(type, data) {
    if (type === 'delete') this.#gone.add(data.id);
    if (this.#queue.push({ type, data }) > 1) return;
    setTimeout(() => prepare(this.#queue.map((arrival) => arrival.data)).then(() => this.#flush()), SOON);
  }

  #flush() {
    const arrivals = this.#queue.splice(0);
    for (const late of this.#late) late.push(...arrivals);
    this.#take(arrivals);
  }

  /** @param {Arrival[]} arrivals */
  #take(arrivals) {
    const messages = arrivals.filter(({ type }) => type === 'message').map(({ data }) => data);
    const last = messages.at(-1)?.id ?? '';
    if (this.#synced && compareIds(last, this.#complete) > 0) this.#complete = last;
    if (last) this.#addAll(messages, messages.length <= FEW);
    if (messages.length === arrivals.length) return;
    this.#await(Promise.all([loadSpecial(), load('./sse-chat-more.js')]), ([{ apply }, { applyChange }]) => {
      this.#change(false, () => apply(this.#rows, arrivals, applyChange, (id) => this.missed(false, id, id)));
      if (!this.#rows.stored) this.#restart({}, (page) => this.#fill(page, '')); // the room may have been forgotten
    });
  }

  /** @param {Message} message our own */
  confirm(message) {
    this.#await(prepare([message]).then(() => [message]), (messages) => this.#addAll(messages, true));
  }

  /** @param {Message[]} messages @param {boolean} isNews */
  #addAll(messages, isNews) {
    const { edge, atEnd, watches } = this.reader;
    // a watching reader has read all before, and needs no line
    if (isNews && watches && compareIds(this.#newest, edge) <= 0) this.reader.moveEdge('');
    this.#change(isNews, () => {
      const fits = atEnd ? messages.length - MOST : 0;
      if (fits > 0) { // no earlier ones would be kept
        this.#rows.trimAbove(0);
        this.#hasOlder = true;
      }
      messages.forEach((message, i) => this.#add(message, i < fits));
      if (atEnd && this.#rows.trimAbove(MOST)) this.#hasOlder = true;
    });
    this.looked();
  }

  /** Once, in order. @param {Message} message @param {boolean} passesBy it would be removed again at once */
  #add(message, passesBy) {
    const { id, author: by = author, nonce = '' } = message;
    const own = isMine(message) || (by === author && Boolean(this.#rows.onItsWay(nonce)));
    if (own) this.emit('stored', nonce);
    const pending = own ? this.#rows.take(nonce) : undefined;
    const shown = this.#rows.get(id);
    if (shown) {
      pending?.item.remove();
      shown.renew(message);
      return;
    }
    if (compareIds(id, this.#newest) > 0) {
      const moved = !own && this.reader.count(id, this.#newest);
      this.#newest = id;
      if (moved) this.#rows.redress();
    }
    const i = this.#rows.placeOf(id);
    const isLast = i === this.#rows.stored;
    // the reader looks at older ones: this one is out of view
    if (isLast && !this.reader.atEnd && this.#rows.stored >= 2 * MOST) this.#hasNewer = true;
    const isOutside = passesBy || this.#gone.has(id) || (isLast ? this.#hasNewer : i === 0 && this.#hasOlder && this.#rows.stored >= PAGE);
    if (isOutside) {
      pending?.item.remove();
      return;
    }
    pending?.arrive(message);
    const row = pending ?? new Row(message);
    if (isLast && this.#gapNext) {
      row.gap = true;
      this.#gapNext = false;
      find('gap').hidden = true;
    }
    this.#rows.insert(i, row);
  }

  /** @param {Row} row @param {Row} [before] */
  #isFresh(row, before) {
    const { edge } = this.reader;
    if (!edge || !row.id || compareIds(row.id, edge) <= 0) return false;
    return before ? compareIds(before.id, edge) <= 0 : !this.#hasOlder;
  }

  /** Returns its row, unless it has arrived. @param {Draft} draft */
  pending({ room, text = '', name, nonce, reply_to }) {
    if (this.#rows.findLast((row) => row.own && row.message.nonce === nonce)) {
      this.emit('stored', nonce);
      return undefined;
    }
    if (!this.#rows.onItsWay(nonce)) {
      const row = new Row({ room, text, name, nonce, reply_to, id: '', timestamp: serverTime() });
      row.item.className = 'pending';
      this.#rows.append(row);
      this.#showEnds();
    }
    return this.#rows.onItsWay(nonce);
  }

  grown() {
    if (this.reader.atEnd) this.reader.toEnd();
  }

  /** @param {string} nonce */
  discard(nonce) {
    this.#rows.take(nonce)?.item.remove();
    this.#showEnds();
  }

  recognize() {
    this.#change(false, () => this.#rows.recognize());
  }

  /** Messages may be missing before the next one. */
  gap() {
    this.#gapNext = !this.#rows.isEmpty;
    find('gap').hidden = !this.#gapNext;
    this.refresh();
    this.missed(true);
  }

  /** The reader has scrolled, or time has passed. */
  looked() {
    const today = new Date(serverTime()).toDateString();
    if (today !== this.#today) this.#rows.redress();
    this.#today = today;
    this.reader.look(this.#newest, !this.#hasNewer, this.#rows.oldest);
  }

  /** A writer has read everything. */
  answered() {
    this.reader.moveEdge('');
    this.#rows.redress();
    return this.toEnd();
  }

  async toEnd() {
    if (this.#hasNewer) {
      await this.#restart({}, (page) => {
        this.reader.atEnd = true;
        this.#fill(page, '');
      });
    }
    this.reader.toEnd();
    this.looked();
  }

  async #toFresh() {
    if (!this.reader.toFresh()) {
      await this.around(this.reader.edge);
      this.reader.toFresh();
    }
    this.looked();
  }

  /** Shows the messages before and after an id. @param {string} after */
  async around(after) {
    await this.#restart({ after }, (page) => {
      this.reader.atEnd = false;
      this.#append(page);
    });
    await this.#loadOlder();
  }

  /** @param {string} [id] */
  get(id = '') {
    return this.#rows.get(id);
  }

  /** @param {(row: Row) => boolean} test */
  findLast(test) {
    return this.#rows.findLast(test);
  }

  /** Its preview has changed. @param {string} id */
  draw(id) {
    const row = this.#rows.get(id);
    if (row) this.#change(false, () => row.draw());
  }

  /** @param {boolean} loud @param {() => void} change */
  #change(loud, change) {
    if (!loud) this.#scroller.setAttribute('aria-busy', 'true');
    const { atEnd } = this.reader;
    if (atEnd) change();
    else this.reader.keepPlace(this.#rows.items, change);
    this.#showEnds();
    if (atEnd) this.reader.toEnd();
    setTimeout(() => this.#scroller.setAttribute('aria-busy', 'false'));
  }

  #showEnds() {
    const { isEmpty } = this.#rows;
    find('empty').hidden = !isEmpty || this.#hasOlder;
    this.#isNew ||= !find('empty').hidden;
    find('beginning').textContent = say(this.#isNew ? 'begins' : 'beginning');
    find('beginning').hidden = isEmpty || this.#hasOlder;
    const hidden = isEmpty || !this.#hasOlder;
    // the focus must not vanish with the button
    if (hidden && document.activeElement === this.#older) this.#scroller.focus({ preventScroll: true });
    this.#older.hidden = hidden;
  }

  #loadOlder() {
    return this.#load({ before: this.#rows.oldest }, (page) => {
      this.#hasOlder = page.more;
      for (const message of page.messages.reverse()) {
        if (!this.#rows.get(message.id)) this.#rows.insert(0, new Row(message));
      }
      if (this.#rows.trimBelow(MOST)) this.#hasNewer = true;
      this.#rows.redress();
    });
  }

  #loadNewer() {
    return this.#load({ after: this.#rows.newest }, (page) => this.#append(page));
  }

  /** @param {Page} page the rows after the last one */
  #append({ messages, more }) {
    const last = messages.at(-1)?.id ?? '';
    // the page lacks one that arrived in the meantime
    this.#hasNewer = more || (last !== '' && compareIds(last, this.#newest) < 0);
    this.#complete = last || this.#complete;
    for (const message of messages) {
      if (!this.#rows.get(message.id)) this.#rows.append(new Row(message));
    }
    if (this.#rows.trimAbove(MOST)) this.#hasOlder = true;
  }

  /** @param {Query} query @param {(page: Page) => void} show */
  async #load(query, show) {
    if (this.#loading || !(query.before || query.after)) return false;
    const generation = this.#generation;
    this.#loading = true;
    const isShown = await this.#await(fetchPage(this.room, query), (page) => this.#change(false, () => show(page)));
    if (generation === this.#generation) this.#loading = false;
    this.looked();
    return isShown;
  }
}
