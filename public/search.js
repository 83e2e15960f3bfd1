// Finds messages of the room, from the newest to the oldest. Loaded when the reader
// searches.

import { button, chat, dayOf, find, load, make, nameTag, say, sayCount, styled, timeOf } from './page.js';
import { address } from './rooms.js';

const SHOWN = 100; // hits, and as many more on request
const AGAIN = 3000; // ms while the server is away

await styled();
/** @type {Panels} */
const { settle } = await load('./panels.js');

const field = make('input', { autocomplete: 'off', enterKeyHint: 'search', placeholder: say('search'), ariaLabel: say('search'), oninput: look });
const count = button('', showList);
const reach = make('span');
const told = make('p', { role: 'status' }, count, reach);
const back = button(say('back'), () => {
  close();
  if (place) visit(place);
  else timeline.toEnd();
});
const list = make('ol');
const older = button(say('older'), () => {
  const i = list.children.length;
  draw(i + SHOWN);
  list.querySelectorAll('button')[i].focus();
});
const panel = make('section', { id: 'search', role: 'search', onclose: close }, field, told, back, button('×', close, { ariaLabel: say('close') }), make('div', {}, list, older));

/** @type {Timeline} */
let timeline;
/** @type {(id: string) => unknown} */
let visit;
/** The message in the middle before the first visit, '' at the end. @type {string|undefined} */
let place;
/** @type {HTMLElement} visited last */
let current = field;
/** Newest first. @returns {Page} */
const nothing = () => ({ messages: [], more: true });
let past = nothing();
/** @type {Message[]} */
let hits = [];
let any = /./; // of the words
let around = /./; // the line with the first, from shortly before it
let run = 0; // another one ends it
let turn = Promise.resolve();

/** @param {Timeline} shown @param {(id: string) => unknown} goTo */
export function open(shown, goTo) {
  [timeline, visit] = [shown, goTo];
  if (!panel.isConnected) {
    told.hidden = back.hidden = true;
    place = undefined;
    find('chat').prepend(panel);
    settle();
    look();
  }
  showList();
  field.select();
}

function close() {
  if (panel.contains(document.activeElement)) find('open-search').focus();
  panel.remove();
  settle();
  run++;
  past = nothing();
}

function showList() {
  panel.className = '';
  (current.isConnected ? current : field).focus();
}

/** @param {number} [ms] @returns {Promise<void>} */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function look() {
  const mine = ++run;
  await pause(100);
  await turn; // the one before keeps what it fetches
  if (mine === run) turn = search(mine);
}

/** @param {number} mine */
async function search(mine) {
  const words = field.value.normalize('NFC').split(/\s+/).filter(Boolean).map((word) => word.replace(/[\\^$.*+?()[\]{}|\/]/g, '\\$&'));
  const all = new RegExp(`^${words.map((word) => `(?=[^]*${word})`).join('')}`, 'iu');
  any = new RegExp(`(${words.join('|')})`, 'iu');
  around = new RegExp(`.{0,30}${any.source}.{0,200}`, 'iu');
  hits = [];
  list.replaceChildren();
  const known = past;
  for (let i = 0, trouble = ''; mine === run;) {
    const last = known.messages[i - 1];
    const isOver = !words.length || (trouble && trouble !== 'waiting') || (i === known.messages.length && !known.more);
    told.ariaBusy = String(!isOver);
    told.hidden = !words.length;
    reach.textContent = [last && say('searched', when(last)), say(trouble)].filter(Boolean).join(' · ');
    draw(SHOWN);
    if (isOver) return;
    if (trouble) await pause(AGAIN);
    trouble = await (i < known.messages.length ? pause() : fetchMore(known)).then(() => '', troubleOf);
    for (const end = i + 200; i < end && i < known.messages.length; i++) {
      if (all.test(textOf(known.messages[i]))) hits.push(known.messages[i]);
    }
  }
}

/** @param {Page} known */
async function fetchMore(known) {
  const before = known.messages.at(-1)?.id;
  const { messages, more } = await chat.history({ room: address.room, limit: 200, ...before && { before } });
  known.messages.push(...messages.reverse());
  known.more = more;
}

/** @param {import('./sse-chat.js').ChatError} error */
const troubleOf = ({ code, status }) => (code === 'login' ? code : code && status < 500 && status !== 429 ? 'noHistory' : 'waiting');

/** @param {Message} message */
const textOf = ({ name = '', text = '' }) => `${name}\n${text}`.normalize('NFC');

/** @param {Message} message */
function when({ timestamp }) {
  const at = new Date(timestamp);
  return `${dayOf(at)}, ${timeOf(at)}`;
}

/** @param {number} most */
function draw(most) {
  for (const hit of hits.slice(list.children.length, most)) list.append(make('li', {}, row(hit)));
  older.hidden = hits.length <= list.children.length;
  count.textContent = sayCount('found', hits.length);
}

/** @param {Message} message */
function row(message) {
  const { id, name = '', text = '' } = message;
  const body = text.normalize('NFC');
  const { 0: line, index } = /** @type {RegExpExecArray} */ (around.exec(body) ?? /.{0,200}/u.exec(body));
  const who = nameTag(name);
  who.replaceChildren(...marked(who.textContent ?? ''));
  const hit = button('', () => go(id, hit), { class: 'quiet hit' });
  hit.append(who, ' ', make('time', {}, when(message)),
    make('span', { dir: 'auto' }, ...marked((body[index - 1] >= ' ' ? '…' : '') + line)));
  return hit;
}

/** @param {string} text */
const marked = (text) => text.split(any).map((part, i) => (i % 2 ? make('mark', {}, part) : part));

/** @param {string} id @param {HTMLElement} hit */
async function go(id, hit) {
  place ??= find('pill').hidden ? '' : timeline.findLast(({ item }) => item.getBoundingClientRect().top < innerHeight / 2)?.id;
  current.ariaCurrent = null;
  current = hit;
  hit.ariaCurrent = 'true';
  panel.className = 'aside';
  back.hidden = false;
  count.focus(); // where the list is hidden
  await visit(id);
  if (hit.checkVisibility()) hit.focus({ preventScroll: true });
}

address.on('room', close);
document.addEventListener('keydown', ({ key, isComposing, target }) => {
  if (isComposing || !panel.isConnected || /** @type {Element} */ (target).closest('textarea, [popover]')) return;
  if (key === 'Escape') close();
  if (key === 'Enter' && target === field) list.querySelector('button')?.focus();
});
for (const type of /** @type {const} */ (['message', 'change', 'delete'])) chat.addEventListener(type, () => past = nothing());
