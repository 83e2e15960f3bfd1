// Connects the parts of the page.

import { Composer } from './composer.js';
import { find, load } from './dom.js';
import { ask, isMine, keep, KEY, names } from './drafts.js';
import { chat, shut } from './history.js';
import { People } from './people.js';
import { everywhere } from './remember.js';
import { address, Rooms, titleOf, unfit } from './rooms.js';
import { LOBBY } from './sse-chat.js';
import { Notice, Status } from './status.js';
import { Timeline } from './timeline.js';
import { learnTime, say, translate } from './words.js';

translate();

const people = new People();
const rooms = new Rooms();
const composer = new Composer();
const notice = new Notice();
const status = new Status();
const timeline = new Timeline();

const panels = [find('menu'), find('about')];
for (const panel of panels) panel.addEventListener('toggle', () => import('./panels.js').then(({ toggled }) => toggled(rooms, people), () => {}));

function show() {
  const { room } = address;
  find('bad-room').hidden = room !== '';
  for (const id of ['chat', 'here', 'open-search']) find(id).hidden = room === '';
  for (const panel of panels) panel.hidePopover();
  if (!room) {
    find('bad-room-text').textContent = say('badRoom', address.asked);
    unfit(({ offer }) => offer(address.asked));
    return;
  }
  const read = rooms.read(room);
  rooms.show(room);
  people.show(room);
  composer.show(room);
  find('room').textContent = titleOf(room);
  notice.show(titleOf(room));
  timeline.show(room, read);
  showDrafts();
  visit();
}

/** Goes to the message in the page's address. */
async function visit() {
  const [id] = /^\d+(-\d+)?$/.exec(location.hash.slice(1)) ?? [];
  if (!id || await timeline.goTo(id)) return;
  const { hint } = await import('./hint.js');
  hint(say('lost'));
}

/** @type {import('./outbox.js').Outbox|undefined} */
let outbox;
/** @type {Promise<void>|undefined} */
let opening;

/** Loads what sends, once there is something to send. */
function openOutbox() {
  return opening ??= load('./outbox.js').then((/** @type {typeof import('./outbox.js')} */ { Outbox }) => {
    const box = outbox = new Outbox();
    box.on('draft', showDraft);
    box.on('gone', (draft) => {
      timeline.discard(draft.nonce);
      if (draft.id) preview(draft);
    });
    box.on('sent', ({ draft, message }) => {
      if (draft.room === address.room) timeline.confirm(message);
      if (draft.id) preview(draft);
    });
    box.start();
  });
}

/** @param {Partial<Draft>} what the reader has written, or has changed */
function write(what) {
  const draft = keep({ room: address.room, ...what });
  if (!outbox) {
    showDraft(draft);
    addEventListener('beforeunload', ask);
  }
  openOutbox().then(() => outbox?.read());
}

/** @param {Draft} draft */
function showDraft(draft) {
  if (draft.room !== address.room) return;
  if (draft.id) preview(draft);
  else timeline.pending(draft, shut.has(`write ${draft.room}`));
}

/** @param {Draft} draft of a change */
function preview({ room, id = '' }) {
  import('./preview.js').then(({ preview }) => preview(id, outbox?.in(room) ?? [], timeline), () => {});
}

function showDrafts() {
  outbox?.in(address.room).forEach(showDraft);
}

// the server may be away by then
const prepareToSend = () => Promise.all([openOutbox(), import('./sse-chat-send.js')]).catch(() => {});
find('text').addEventListener('input', () => {
  prepareToSend();
  import('./typing.js').then(({ typed }) => typed(), () => {});
});
chat.addEventListener('signal', ({ data }) => import('./typing.js').then(({ heard }) => heard(data), () => {}));
if (everywhere.keys(KEY).length) prepareToSend();
addEventListener('input', (/** @type {any} */ { target }) => {
  if (/@/.test(target.value)) import('./complete.js').catch(() => {});
});

composer.on('send', (text) => {
  rooms.visit(address.room);
  write({ text, name: people.name, reply_to: composer.replyTo || undefined });
  composer.replyTo = '';
  timeline.answered();
});

/** @type {Promise<import('./menu.js').Menu>|undefined} */
let menu;
const openMenu = () => menu ??= load('./menu.js').then((/** @type {typeof import('./menu.js')} */ { Menu }) => new Menu(timeline, write, composer));
for (const type of ['pointerover', 'focusin']) find('scroller').addEventListener(type, openMenu, { once: true });
find('scroller').addEventListener('pointerdown', (/** @type {PointerEvent} */ event) => openMenu().then((menu) => menu.press(event)), { once: true });
find('messages').addEventListener('click', (/** @type {Event} */ { target }) => {
  const button = /** @type {Element} */ (target).closest('.quote, .reaction');
  if (button) openMenu().then((menu) => menu.click(/** @type {HTMLElement} */ (button)));
});
find('open-search').addEventListener('click', () => load('./search.js').then(({ open }) => open(timeline, visit)));
composer.on('last', () => openMenu().then((menu) => menu.edit()));
timeline.on('stored', (nonce) => outbox?.forget(nonce, true));
timeline.on('again', (nonce) => outbox?.again(nonce));
timeline.on('discard', (nonce) => outbox?.discard(nonce));
timeline.on('rewrite', (draft) => import('./received.js').then(({ takeBack }) => {
  takeBack(draft);
  outbox?.discard(draft.nonce);
}, () => {}));

timeline.on('seen', (id) => rooms.seen(address.room, id));
let [here, elsewhere] = [0, 0]; // unread
timeline.on('unseen', (count) => {
  here = count;
  notice.unread(here + elsewhere);
});
rooms.on('unread', (count) => {
  elsewhere = count;
  notice.unread(here + elsewhere);
});
document.addEventListener('visibilitychange', () => {
  timeline.looked();
  if (/write/.test([...shut].join())) chat.retry(); // maybe back from a login
});
addEventListener('focus', () => timeline.looked());
setInterval(() => {
  timeline.looked(); // at midnight, days change
  if (document.visibilityState === 'visible') outbox?.adopt(true);
}, 60_000);

// for phones whose keyboard covers the page
window.visualViewport?.addEventListener('resize', () => {
  const { height, scale } = /** @type {VisualViewport} */ (window.visualViewport);
  document.body.style.height = scale === 1 && height < innerHeight ? `${height}px` : '';
});

show();
rooms.count();
composer.begin();

chat.addEventListener('hello', ({ data }) => learnTime(data.now));
chat.addEventListener('message', ({ data: message }) => {
  const room = message.room ?? LOBBY;
  const isHere = room === address.room;
  if (isMine(message)) outbox?.forget(message.nonce, true);
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
  if (chat.state === 'removed') import('./removed.js').then(({ close }) => close(), () => {});
  showState();
});

function showState() {
  showDrafts();
  const barred = chat.refused.get(address.room);
  const login = shut.has(`read ${address.room}`) || shut.has(`write ${address.room}`) ? 'login' : undefined;
  status.show(barred ?? login ?? chat.state, chat.retryAt, barred !== undefined);
}

function meet() {
  const name = chat.you?.name ?? '';
  people.given(name);
  if (!name) names.clear();
  else import('./servernames.js').then(({ learnNames }) => learnNames(rooms.names, () => {
    timeline.recognize();
    rooms.bar(chat.refused);
  })).catch(() => {});
}

addEventListener('hashchange', visit);
address.on('room', (room) => {
  show();
  showState();
  composer.begin();
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
setTimeout(() => {
  prepareToSend();
  for (const file of ['servernames', 'panels', 'roomlist', 'unfit']) import(`./${file}.js`).catch(() => {});
}, 15_000);
