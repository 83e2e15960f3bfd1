// The form for writing and what is beside it: unsent text, who else is typing, how much more
// may be written, notes, a reply, names after an @, and the form that edits a message. Loaded
// when the reader writes.

import { button, chat, cleaned, everywhere, find, here, isText, loadSpecial, make, nameTag, say, sayCount, sends, special, styled, tab } from './page.js';
import { address } from './rooms.js';
import { LOBBY } from './sse-chat.js';

const field = find('text');
const [send, counter, note] = [find('send'), find('counter'), find('note')];

await styled();

/** The reader has typed. */
export function changed() {
  keep(address.room, field.value);
  grow();
  typed();
}

function grow() {
  const most = Number(field.dataset.most); // bytes
  // a character has at most three
  if (6 * field.value.length > most || !counter.hidden) count(cleaned(field.value), most);
  if (!CSS.supports('field-sizing', 'content')) {
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight + 2}px`;
  }
}

const MANY = 10_000; // UTF-16 units that are counted as they are, to be quick

/** What a reader would delete one by one. @param {string} text */
const characters = (text) => (text.length > MANY ? text : [...new Intl.Segmenter().segment(text)]).length;

/** @param {string} text @param {number} most bytes */
function count(text, most) {
  const { read, written } = new TextEncoder().encodeInto(text, new Uint8Array(most));
  const isOver = read < text.length;
  counter.hidden = !isOver && written < 0.9 * most;
  counter.textContent = isOver ? sayCount('over', characters(text.slice(read)))
    : sayCount('left', Math.floor((most - written) * read / (written || 1)));
  field.setAttribute('aria-invalid', String(isOver));
}

/** Inserts what was pasted or dropped. @param {string} text @param {boolean} hasFile */
export function receive(text, hasFile) {
  if (field.disabled) return;
  if (text) {
    field.focus({ preventScroll: true });
    field.setRangeText(text, field.selectionStart, field.selectionEnd, 'end');
    field.dispatchEvent(new Event('input'));
  }
  if (hasFile) hint(say('onlyText'));
}

/** Puts back what the server has refused. @param {Draft} draft */
export function takeBack(draft) {
  const { text, refused } = draft;
  if (!refused) return; // a second click
  draft.refused = undefined;
  const [, most] = /^text: .* more than (\d+)$/.exec(refused) ?? [];
  if (most) field.dataset.most = most;
  field.value = [text, field.value].filter(Boolean).join('\n');
  field.focus();
  field.dispatchEvent(new Event('input'));
}

/** For a reader who was removed. */
export function close(isRemoved = chat.state !== 'live') {
  field.disabled = send.disabled = isRemoved;
  field.placeholder = say(isRemoved ? 'removed' : 'message');
}
chat.addEventListener('live', () => close(false));

const LASTS = 6000; // ms
const clear = () => note.replaceChildren();
/** @type {Timer} */
let timer;

/** Shows a note until it times out or the reader types. @param {string} text */
export function hint(text) {
  clearTimeout(timer);
  note.textContent = text;
  timer = setTimeout(clear, LASTS);
}

const form = find('composer');
const bar = make('p', { id: 'replying' });
form.before(bar);

/** The next message answers this one. @param {Message} message */
export function reply({ id, name = '', text = '' }) {
  form.dataset.replyTo = id;
  bar.replaceChildren(
    make('span', {}, `${say('replyingTo')} `, nameTag(name), ' ', make('bdi', {}, text.slice(0, 200))),
    button('×', () => {
      delete form.dataset.replyTo;
      field.focus({ preventScroll: true });
    }, { 'aria-label': say('cancel') }));
  field.focus({ preventScroll: true });
}

/** @type {Edit} */
export function edit({ item, shown }, save, text = shown.text ?? '') {
  if (item.classList.contains('editing')) return;
  const area = make('textarea', { 'aria-label': say('edit'), value: text, enterKeyHint: 'done' });
  const editor = make('form', { class: 'edit' }, area, button(say('cancel'), end), make('button', { type: 'submit' }, say('save')));
  function end() {
    editor.remove();
    item.classList.remove('editing');
    field.focus({ preventScroll: true });
  }
  editor.addEventListener('submit', (event) => {
    event.preventDefault();
    const now = cleaned(area.value);
    if (now.trim() && now !== shown.text) save(now);
    end();
  });
  area.addEventListener('keydown', (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Escape') end();
    else if (sends(event)) {
      event.preventDefault();
      editor.requestSubmit();
    }
  });
  item.classList.add('editing');
  item.append(editor);
  area.focus();
  area.setSelectionRange(text.length, text.length);
}

const KEY = 'draft '; // script.js looks for these keys, too
const MOST = 50;

// each tab has its own unsent text; a new tab gets that of a closed one
const before = here.get('tab', '');
here.set('tab', tab);
/** @type {[room: string, text: string]} */
let last = ['', ''];

/** Its text, when it was written, and whether its tab is closed. @param {string} key @returns {[string, number, boolean]} */
const unsent = (key) => everywhere.get(key, ['', 0, false], ([text, at]) => isText(text) && Number.isFinite(at));

for (const key of everywhere.keys(KEY).sort((a, b) => unsent(b)[1] - unsent(a)[1]).slice(MOST)) everywhere.set(key);

/** @param {string} room */
function take(room) {
  const keys = everywhere.keys(`${KEY}${room} `);
  const key = [tab, before].map((id) => `${KEY}${room} ${id}`).find((own) => keys.includes(own))
    ?? keys.find((other) => unsent(other)[2]) ?? keys[0] ?? ''; // a phone may close a tab without an event
  const [text] = unsent(key);
  if (key) everywhere.set(key);
  keep(room, text);
  return text;
}

/** @param {string} room @param {string} text */
function keep(room, text, isLeft = false) {
  last = [room, text];
  everywhere.set(`${KEY}${room} ${tab}`, text ? [text, Date.now(), isLeft] : undefined);
}

// another tab may have taken it
addEventListener('pagehide', () => last[1] && keep(...last, true));

/** @type {Map<string, any[]>} room, name and end */
const typists = new Map();
const words = ['typing1', 'typing2', 'typing3'];
let typedLast = '';
let told = 0;

/** Tells others that the reader types. */
function typed() {
  const text = field.value.trim();
  const { room } = address;
  const now = Date.now();
  if (text === typedLast) return;
  typedLast = text;
  // others are here
  if (!text || now - told < 3000 || !(Number(chat.presence.get(room)?.count) > 1)) return;
  everywhere.set('typed', [room, told = now]);
  chat.signal('typing', room);
}

/** @param {any} signal */
export function heard({ room, name = '', author, signal }) {
  const now = Date.now();
  // the server sends signals back to the sender's own tabs
  const [here, at] = everywhere.get('typed', ['', 0], Array.isArray);
  const own = author && chat.author ? author === chat.author
    : name === (chat.you?.name ?? (room === here && now - at < 5000 && chat.name));
  if (own || signal !== 'typing') return;
  typists.set(`${room} ${author ?? name}`, [room, name, now + 5000]);
  setTimeout(showTypists, 5010);
  showTypists();
}

function showTypists() {
  const names = [...typists.values()].filter(([room, , end]) => room === address.room && end > Date.now()).map(([, name]) => name || say('nameless'));
  const parts = names.length ? say(words[Math.min(names.length, 3) - 1], '\n', '\n').split('\n') : [];
  find('typing').replaceChildren(...parts.flatMap((part, i) => (i ? [make('bdi', {}, names[i - 1]), part] : part)));
}

chat.addEventListener('message', ({ data: { room = LOBBY, name = '', author = name } }) => typists.delete(`${room} ${author}`) && showTypists());

const list = make('ul', { id: 'names', role: 'listbox', 'aria-label': say('people') });
/** Where a name is typed. @type {HTMLTextAreaElement|undefined} */
let target;
let mention = ''; // as far as it is typed
let active = 0;

/** 기 begins 김. @param {string} text */
const folded = (text) => text.normalize('NFKD').toLowerCase();

/** Offers names after an @ in a text. */
function complete() {
  closeNames();
  const area = document.activeElement;
  if (!(area instanceof HTMLTextAreaElement)) return;
  [mention] = /(?<![\w.+\-])@[^@\n]*$/.exec(area.value.slice(0, area.selectionStart)) ?? [''];
  if (!special) {
    if (mention) loadSpecial().then(complete);
    return;
  }
  const names = special.others(address.room).map((name) => `@${name}`);
  const fitting = names.filter((name) => mention && folded(name).startsWith(folded(mention)));
  // a name and a space is complete
  if (!fitting.length || names.some((name) => folded(`${name} `) === folded(mention))) return;
  target = area;
  area.before(list);
  area.setAttribute('aria-controls', list.id);
  list.replaceChildren(...fitting.map((name, i) => make('li', { id: `name-${i}`, role: 'option' }, name)));
  activate(0);
}

/** @param {number} i */
function activate(i) {
  const options = [...list.children];
  active = (i + options.length) % options.length;
  options.forEach((option, i) => option.ariaSelected = String(i === active));
  options[active].scrollIntoView({ block: 'nearest' });
  target?.setAttribute('aria-activedescendant', `name-${active}`);
}

/** @param {HTMLTextAreaElement} into @param {string|null} name */
function insert(into, name) {
  into.setSelectionRange(into.selectionStart - mention.length, into.selectionStart);
  document.execCommand('insertText', false, `${name} `); // can be undone
}

function closeNames() {
  list.remove();
  target?.removeAttribute('aria-activedescendant');
  target = undefined;
}

list.addEventListener('mousedown', (event) => event.preventDefault()); // keeps the focus
list.addEventListener('click', (/** @type {any} */ { target: option }) => {
  const into = /** @type {HTMLTextAreaElement} */ (target);
  into.blur(); // ends a composition, in the next task
  into.focus();
  if (option !== list) setTimeout(insert, 0, into, option.textContent);
});

// before the field's own listeners
addEventListener('keydown', (event) => {
  const { key } = event;
  // within a composition, it is the input method's
  if (!target || event.isComposing || event.keyCode === 229 || event.shiftKey) return;
  if (key === 'ArrowDown') activate(active + 1);
  else if (key === 'ArrowUp') activate(active - 1);
  else {
    if (key === 'Enter' || key === 'Tab') insert(target, list.children[active].textContent);
    closeNames();
    if (!/Enter|Tab|Escape/.test(key)) return;
  }
  event.preventDefault();
  event.stopPropagation();
}, true);
for (const type of ['click', 'focusout']) addEventListener(type, closeNames);
addEventListener('input', complete);

/** Shows the unsent text of a room, unless the reader has gone on. @param {string} room */
export function recall(room) {
  if (room !== address.room) return;
  field.value = take(room) + field.value;
  grow();
}

/** @param {Map<string, string>} texts typed before this file was loaded, by room */
export function keepEarly(texts) {
  for (const [room, text] of texts) keep(room, text);
  texts.clear();
}

address.on('room', () => {
  delete form.dataset.replyTo;
  showTypists();
  grow();
});
field.addEventListener('input', clear);

/** For phones whose keyboard covers the page. */
function fit() {
  const { height, scale } = window.visualViewport ?? { height: innerHeight, scale: 1 };
  document.body.style.height = scale === 1 && height < innerHeight ? `${height}px` : '';
}
window.visualViewport?.addEventListener('resize', fit);
fit();

complete();
