// The reader's place in the timeline, and how far it has read.

import { find, Source } from './dom.js';
import { compareIds } from './sse-chat.js';
import { say, sayCount } from './words.js';

const NEAR_END = 100;

/** Emits `seen` {id} and `unseen` {count}; `end` and `fresh` when the reader asks to go there. */
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
        import('./hold.js').then(({ hold }) => hold(event, this), () => {});
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

  /** Somebody else's message has arrived. Returns whether the unread line has moved. @param {string} id @param {string} before */
  count(id, before) {
    if (this.watches || compareIds(id, this.#read) <= 0) return false;
    const first = this.#unseen++ === 0;
    if (first) this.moveEdge(this.#read || before);
    return first;
  }

  /** Messages or the reader's place have changed. @param {string} newest @param {boolean} isWhole @param {string} oldest */
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

  /** Loads more while the reader is near an end. @param {'top'|'bottom'} end @param {() => boolean} hasMore @param {() => Promise<boolean>} load */
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

  /** @param {HTMLElement} item */
  mark(item) {
    document.querySelector('#messages .marked')?.classList.remove('marked');
    item.classList.add('marked');
    const [inner, outer] = [item.getBoundingClientRect(), this.#scroller.getBoundingClientRect()];
    this.#scroller.scrollTop += inner.top - outer.top - Math.max(0, outer.height - inner.height) / 2;
    item.tabIndex = -1;
    item.focus({ preventScroll: true });
  }

  /** Changes rows without moving what is in view. @param {HTMLElement[]} items @param {() => void} change */
  keepPlace(items, change) {
    const edge = this.#scroller.getBoundingClientRect().top;
    const anchor = items.find((item) => item.getBoundingClientRect().bottom > edge);
    const was = anchor?.getBoundingClientRect().top ?? 0;
    change();
    if (anchor?.isConnected) this.#scroller.scrollTop += anchor.getBoundingClientRect().top - was;
  }
}
