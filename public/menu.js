// The menu of a message, the button that opens it and moves to the row under the pointer or
// the focus, and the hold that keeps the list still. Loaded when the pointer or the focus comes
// near the messages.

import { author, button, chat, find, load, make, me, say } from './page.js';
import { address } from './rooms.js';

const scroller = find('scroller');

const USUAL = ['👍', '❤️', '😂', '😮', '😢', '🙏'];
const LONG_PRESS = 500; // ms
const CONTROLS = 'a, button, form'; // where a long press keeps its usual meaning

export class Menu {
  #more = button('⋯', () => this.open(this.#rowAt(this.#more)), { class: 'more', 'aria-haspopup': 'menu', 'aria-label': say('actions'), tabIndex: -1 });
  #menu = make('div', { id: 'actions', popover: 'auto', role: 'menu', 'aria-label': say('actions') });
  /** @type {Timer} */
  #press;

  /** @param {Timeline} timeline @param {() => Promise<Writing>} writing @param {(id: string) => unknown} visit */
  constructor(timeline, writing, visit) {
    this.visit = visit;
    this.timeline = timeline;
    this.writing = writing;
    find('chat').append(this.#menu);
    scroller.addEventListener('pointerover', ({ target, pointerType }) => pointerType === 'touch' || this.#offer(this.#rowAt(target)));
    scroller.addEventListener('focusin', ({ target }) => this.#focused(target));
    this.#more.addEventListener('keydown', (event) => this.#walk(event));
    this.#menu.addEventListener('keydown', (event) => this.#choose(event));
    this.#menu.addEventListener('toggle', (event) => this.#more.setAttribute('aria-expanded', String(/** @type {ToggleEvent} */ (event).newState === 'open')));
    for (const type of ['pointerup', 'pointercancel', 'pointermove']) scroller.addEventListener(type, () => clearTimeout(this.#press));
    scroller.addEventListener('pointerdown', (event) => this.press(event));
    scroller.addEventListener('contextmenu', (event) => {
      const row = this.#rowAt(event.target);
      if (event.pointerType !== 'touch' || !row || /** @type {Element} */ (event.target).closest(CONTROLS)) return;
      event.preventDefault();
      clearTimeout(this.#press);
      this.#hold(row);
    });
    // the event that loaded this file is over
    this.#offer(this.#rowAt(document.querySelector('#messages > li:hover')));
    this.#focused(document.activeElement);
  }

  /** @param {EventTarget|null} target */
  #focused(target) {
    this.#offer(target === scroller ? this.timeline.findLast(() => true) : this.#rowAt(target));
  }

  /** @param {EventTarget|null} target */
  #rowAt(target) {
    return this.timeline.get(/** @type {HTMLElement|null|undefined} */ (/** @type {Element} */ (target)?.closest('#messages > li'))?.dataset.id);
  }

  /** @param {Row} [row] */
  #offer(row) {
    if (!row || this.#menu.matches(':popover-open') || row.item.contains(this.#more)) return;
    const hadFocus = document.activeElement === this.#more;
    this.#more.tabIndex = 0;
    const article = row.item.querySelector('article');
    article?.before(this.#more);
    this.#more.style.top = `${article?.offsetTop}px`;
    if (hadFocus) this.#more.focus({ preventScroll: true });
  }

  /** Starts a long press. @param {PointerEvent} event */
  press({ target, pointerType, pointerId }) {
    const row = this.#rowAt(target);
    const element = /** @type {Element} */ (target);
    if (pointerType !== 'touch' || !row || element.closest(CONTROLS)) return;
    // unless it was lifted while this file was loaded
    this.#press = setTimeout(() => element.hasPointerCapture(pointerId) && this.#hold(row), LONG_PRESS);
  }

  /** @param {Row} row */
  #hold(row) {
    this.#offer(row);
    this.open(row);
    // lifting the finger, or the click that follows, light-dismisses the popover
    const lifted = new AbortController();
    const { signal } = lifted;
    addEventListener('pointercancel', () => lifted.abort(), { signal });
    addEventListener('pointerup', () => {
      lifted.abort();
      setTimeout(() => this.#show(), 100);
    }, { signal });
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const by = { ArrowUp: 'previousElementSibling', ArrowDown: 'nextElementSibling' }[event.key];
    const row = by && this.#rowAt(/** @type {any} */ (this.#more.closest('li'))?.[by]);
    if (!row) return;
    event.preventDefault();
    this.#offer(row);
    this.#more.focus();
  }

  /** @param {KeyboardEvent} event */
  #choose(event) {
    const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
    const items = [...this.#menu.querySelectorAll('button')];
    if (!step || !(event.target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    items.at((items.indexOf(event.target) + step) % items.length)?.focus();
  }

  /** @param {Row} [row] */
  open(row) {
    if (!row || this.#menu.matches(':popover-open')) return;
    const { message } = row;
    const mayChange = chat.you?.moderate || (row.own && (message.author === author || Boolean(chat.you?.name)));
    /** @type {[string, () => unknown][]} */
    const choices = [
      ['reply', () => load('./composer.js').then(({ reply }) => reply(message))],
      ...(mayChange ? /** @type {[string, () => unknown][]} */ ([
        ['edit', () => this.edit(row)],
        ['remove', () => this.#write({ id: message.id, change: null, due: Date.now() + 5000 })],
      ]) : []),
      ['copyText', () => copy(() => message.text ?? '')],
      ['copyLink', () => copy(({ linkTo }) => linkTo(address.room, message.id))],
    ];
    // so that a choice works at once, even if the server goes away
    load('./composer.js');
    load('./panels.js');
    this.writing();
    this.#menu.role = 'menu';
    this.#menu.replaceChildren(
      make('div', { class: 'usual', role: 'group', 'aria-label': say('react') },
        ...USUAL.map((emoji) => this.#item(emoji, () => this.react(row, emoji))),
        button('＋', () => this.#pick(row), { class: '', role: 'menuitem', 'aria-label': say('moreEmoji') })),
      ...choices.map(([word, act]) => this.#item(say(word), act)));
    this.#show();
  }

  /** @param {string} text @param {() => unknown} act */
  #item(text, act) {
    return button(text, () => {
      this.#menu.hidePopover();
      act();
    }, { class: '', role: 'menuitem' });
  }

  #show() {
    this.#menu.showPopover();
    const { left, bottom } = this.#more.getBoundingClientRect();
    const { width, height } = this.#menu.getBoundingClientRect();
    this.#menu.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    this.#menu.style.top = `${Math.max(8, Math.min(bottom, innerHeight - height - 8))}px`;
    this.#menu.querySelector('button')?.focus();
  }

  /** Any emoji. @param {Row} row */
  #pick(row) {
    this.#menu.role = 'dialog';
    this.#menu.replaceChildren(grid((emoji) => {
      this.#menu.hidePopover();
      this.react(row, emoji);
    }));
    this.#show();
    this.#menu.querySelector('input')?.focus();
  }

  /** Adds a reaction, or takes it back. @param {Row} row @param {string} emoji */
  react({ message, item }, emoji) {
    const isMine = item.querySelector(`.reaction[data-emoji="${CSS.escape(emoji)}"]`)?.ariaPressed === 'true';
    this.#write({ id: message.id, change: { [isMine ? 'unreact' : 'react']: emoji } });
  }

  /** @param {Row} [row] by default the reader's last one */
  edit(row = this.timeline.findLast(({ own, message }) => own && (message.author === author || message.name === me(message.room)))) {
    if (row) load('./composer.js').then(({ edit }) => edit(row, (/** @type {string} */ text) => this.#write({ id: row.id, change: { text } })));
  }

  /** @param {Partial<Draft>} what */
  #write(what) {
    this.writing().then((writing) => writing.write(what));
  }

  /** Handles a click on a quote or a reaction. @param {HTMLElement} button */
  click(button) {
    const { to, emoji = '' } = button.dataset;
    const row = this.#rowAt(button);
    if (to) this.visit(to);
    else if (row) this.react(row, emoji);
  }
}

/** @param {(panels: Panels) => string} text */
async function copy(text) {
  const [panels, { hint }] = await Promise.all([load('./panels.js'), load('./composer.js')]);
  panels.copy(text(panels), hint);
}

const MANY = '😀 😄 😁 😅 🤣 😊 😍 😘 😜 🤔 🤨 😐 🙄 😴 🤗 🤩 🥳 😎 🥺 😭 😤 😡 🤯 😱 🤮 🤡 💩 👻 👀 🙈 👏 🙌 👎 👌 ✌️ 🤞 🤝 💪 👋 🤷 🤦 ❤️ 🧡 💛 💚 💙 💜 🖤 💔 💯 🔥 ✨ ⭐ 🎉 🎂 🎁 🏆 🚀 ✅ ❌ ❓ ❗ ⚠️ 💡 ☕ 🍺 🍕 🌧️ ☀️ 🌈 🌸 🐶 🐱 🐝'.split(' ');

const one = /^\p{RGI_Emoji}$/v;

/** Its field takes any other emoji from the system's keyboard. @param {(emoji: string) => void} choose */
function grid(choose) {
  const field = make('input', { 'aria-label': say('anyEmoji'), placeholder: say('anyEmoji'), autocomplete: 'off' });
  field.addEventListener('input', () => one.test(field.value.trim()) && choose(field.value.trim()));
  return make('div', { class: 'grid' }, field,
    ...MANY.map((emoji) => button(emoji, () => choose(emoji), { class: '' })));
}

let isDown = false;
let was = { top: 0, height: 0, atEnd: false };

/** Keeps the list from scrolling while a pointer button is down on it or text is selected. @param {any} event @param {Reader} reader */
export function hold({ type, target, buttons }, reader) {
  if (type === 'pointerdown') isDown = scroller.contains(target);
  else if (type !== 'selectionchange' && !buttons) isDown = false;
  // releasing the button on a scroll bar may send no pointerup
  if (isDown && /^pointer(down|move)$/.test(type)) document.addEventListener('pointermove', (event) => hold(event, reader), { once: true });
  const selection = getSelection();
  const isHeld = isDown || Boolean(selection && !selection.isCollapsed && selection.containsNode(find('messages'), true));
  if (isHeld === reader.isHeld) return;
  reader.isHeld = isHeld;
  const { scrollTop, scrollHeight } = scroller;
  if (isHeld) {
    was = { top: scrollTop, height: scrollHeight, atEnd: reader.atEnd };
    reader.atEnd = false;
  } else {
    reader.emit(was.atEnd && scrollTop === was.top && scrollHeight > was.height ? 'end' : 'scrolled');
  }
}
