// Connects the parts of the page, and loads the others when they are needed.

import { ask, chat, cleaned, DRAFTS, everywhere, find, isMine, isTouch, keep, learnTime, load, loadSpecial, names, onChange, say, sends, shut, styled, translate } from './page.js';
import { address, Notice, panels, People, Rooms, Status, titleOf } from './rooms.js';
import { LOBBY } from './sse-chat.js';
import { Timeline } from './timeline.js';

translate();

const people = new People();
const rooms = new Rooms();
const notice = new Notice();
const status = new Status();
const timeline = new Timeline();
const [scroller, form, text] = [find('scroller'), find('composer'), find('text')];

/** @type {Writing|undefined} */
let writing;
/** @type {Promise<Writing>|undefined} */
let opening;
/** @returns {Promise<Writing>} */
function openWriting() {
  import('./sse-chat-more.js').catch(() => {}); // the server may be away later
  return opening ??= load('./outbox.js').then(({ Writing }) => writing = new Writing(timeline));
}
/** @type {Composer|undefined} */
let loaded;
/** Typed in a room before that. @type {Map<string, string>} */
const early = new Map();
async function composer() {
  loaded = /** @type {Composer} */ (await load('./composer.js'));
  loaded.keepEarly(early);
  return loaded;
}

onChange(DRAFTS, openWriting); // in another tab
if (everywhere.keys(DRAFTS).length) openWriting();

const popovers = [find('menu'), find('about')];
for (const popover of popovers) popover.addEventListener('toggle', () => panels(({ toggled }) => toggled(rooms, people)));

function show() {
  const { room } = address;
  find('bad-room').hidden = room !== '';
  for (const id of ['chat', 'here', 'open-search']) find(id).hidden = room === '';
  for (const popover of popovers) popover.hidePopover();
  if (!room) {
    find('bad-room-text').textContent = say('badRoom', address.asked);
    panels(({ offerRoom }) => offerRoom(address.asked));
    return;
  }
  const read = rooms.read(room);
  if (!loaded && text.value) early.set(rooms.current, text.value);
  text.value = '';
  if (early.size || everywhere.keys('draft ').length) composer().then(({ recall }) => recall(room));
  rooms.show(room);
  people.show(room);
  find('room').textContent = titleOf(room);
  notice.show(titleOf(room));
  timeline.show(room, read);
  writing?.show();
  visitLinked();
}

function visitLinked() {
  const [id] = /^\d+(-\d+)?$/.exec(location.hash.slice(1)) ?? [];
  if (id) visit(id);
}

/** @param {string} id of a message */
async function visit(id) {
  const { goTo } = await loadSpecial();
  if (await goTo(timeline, id) === false) composer().then(({ hint }) => hint(say('lost')));
}

function send() {
  const typed = cleaned(text.value);
  focus();
  if (!typed.trim() || new TextEncoder().encode(typed).length > Number(text.dataset.most)) return;
  const { room } = address;
  const message = { room, text: typed, name: people.name, reply_to: form.dataset.replyTo };
  delete form.dataset.replyTo;
  text.value = '';
  text.dispatchEvent(new Event('input'));
  rooms.visit(room);
  if (writing) {
    writing.write(message);
  } else {
    timeline.pending(keep(message));
    addEventListener('beforeunload', ask);
    openWriting();
  }
  timeline.answered();
}

const focus = () => text.focus({ preventScroll: true });

/** Unless a keyboard covers the page, or another page is around it. */
function begin() {
  if (top === window && !isTouch()) focus();
}

let isComposing = false;
for (const type of ['compositionstart', 'compositionend']) {
  text.addEventListener(type, () => {
    isComposing = type === 'compositionstart';
  });
}
text.addEventListener('keydown', (event) => {
  // an Enter that ends a composition is the input method's; in Safari only the code shows it
  if (event.isComposing || event.keyCode === 229) return;
  if (sends(event)) {
    event.preventDefault();
    send();
  } else if (event.key === 'ArrowUp' && text.value === '') {
    event.preventDefault();
    menu().then((menu) => menu.edit());
  }
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  // a composition interrupted by the button ends in the next task
  if (isComposing) setTimeout(send);
  else send();
});

/** Input outside of fields; a space scrolls. @param {any} event */
function receive(event) {
  const { type, target, key, clipboardData: data = event.dataTransfer } = event;
  if (event.defaultPrevented) return;
  if (type === 'keydown') {
    if (/^\S$/.test(key) && !(event.ctrlKey || event.metaKey || event.altKey)
      && target.matches(':root:not(:has(:popover-open)) :is(body, a, li, article, #scroller)')) focus();
    return;
  }
  const pasted = data.getData('text');
  const hasFile = data.types.includes('Files');
  // the browser inserts it
  if (/input|textarea/.test(target.localName) && (type === 'paste' ? pasted : !hasFile)) return;
  event.preventDefault();
  if (type !== 'dragover') composer().then(({ receive }) => receive(pasted, hasFile));
}
for (const type of ['keydown', 'paste', 'dragover', 'drop']) document.addEventListener(type, receive);

timeline.reader.on('seen', (id) => rooms.seen(address.room, id));
timeline.reader.on('unseen', (count) => notice.unread('here', count));
rooms.on('unread', (count) => notice.unread('elsewhere', count));
document.addEventListener('visibilitychange', () => {
  timeline.looked();
  if (/write/.test([...shut].join())) chat.retry(); // maybe back from a login
});
addEventListener('focus', () => timeline.looked());
setInterval(() => {
  timeline.looked(); // at midnight, days change
  if (document.visibilityState === 'visible') writing?.adopt();
}, 60_000);

text.value = ''; // the browser may have kept it
show();
rooms.count();
begin();

chat.addEventListener('hello', ({ data }) => learnTime(data.now));
chat.addEventListener('message', ({ data: message }) => {
  const room = message.room ?? LOBBY;
  const isHere = room === address.room;
  if (isMine(message)) writing?.forget(message.nonce);
  status.lastAt = Math.max(status.lastAt, message.timestamp);
  if (isHere) timeline.arrive('message', message);
  else if (!isMine(message)) rooms.arrived(room, message);
  const isSeen = isHere && document.visibilityState === 'visible' && document.hasFocus();
  if (chat.state === 'live' && !isMine(message)) notice.message(message, isSeen);
});
for (const type of /** @type {const} */ (['change', 'delete'])) {
  chat.addEventListener(type, ({ data }) => {
    if ((data.room ?? LOBBY) === address.room) timeline.arrive(type, data);
  });
}
chat.addEventListener('gap', () => timeline.gap());
chat.addEventListener('live', () => {
  meet();
  // history has what came without a stream
  timeline.refresh();
});
chat.addEventListener('statechange', () => {
  rooms.bar(chat.refused);
  if (chat.state === 'removed') composer().then(({ close }) => close());
  showState();
});
chat.addEventListener('signal', ({ data }) => composer().then(({ heard }) => heard(data)));

function showState() {
  writing?.show();
  const barred = chat.refused.get(address.room);
  const login = shut.has(`read ${address.room}`) || shut.has(`write ${address.room}`) ? 'login' : undefined;
  status.show(barred ?? login ?? chat.state, chat.retryAt, barred !== undefined);
}

function meet() {
  const name = chat.you?.name ?? '';
  people.given(name);
  if (!name) names.clear();
  else {
    panels(({ learnNames }) => learnNames(rooms.names, () => {
      timeline.recognize();
      rooms.bar(chat.refused);
    }));
  }
}

addEventListener('hashchange', visitLinked);
address.on('room', (room) => {
  show();
  showState();
  begin();
  if (chat.refused.has(room)) chat.retry();
});
address.on('visit', visit);
rooms.on('changed', () => chat.subscribe({ rooms: rooms.names }));
people.on('name', (name) => {
  // who was removed does not come back under another name
  if (chat.state !== 'removed') chat.subscribe({ name });
  timeline.recognize();
});
status.on('retry', () => {
  chat.retry();
  timeline.refresh();
});
chat.subscribe({ rooms: rooms.names, name: people.name });

/** @type {Promise<Menu>|undefined} */
let loading;
const menu = () => loading ??= Promise.all([load('./menu.js'), styled()]).then(([{ Menu }]) => new Menu(timeline, openWriting, visit));
for (const type of ['pointerover', 'focusin']) scroller.addEventListener(type, menu, { once: true });
scroller.addEventListener('pointerdown', (event) => menu().then((menu) => menu.press(event)), { once: true });
scroller.addEventListener('click', ({ target }) => {
  const button = /** @type {Element} */ (target).closest('.quote, .reaction');
  if (button) menu().then((menu) => menu.click(/** @type {HTMLElement} */ (button)));
});
find('open-search').addEventListener('click', () => load('./search.js').then(({ open }) => open(timeline, visit)));

function prepareToWrite() {
  return openWriting().then(composer);
}
for (const type of ['pointerdown', 'focusin']) form.addEventListener(type, prepareToWrite);
text.addEventListener('input', () => {
  if (loaded) loaded.changed();
  else prepareToWrite().then(({ changed }) => text.value && changed());
});
setTimeout(() => {
  prepareToWrite();
  panels(() => {});
}, 15_000);
