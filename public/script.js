// Connects the parts of the page.

import { Composer } from './composer.js';
import { find } from './dom.js';
import { chat, shut } from './history.js';
import { isMine, names, Outbox } from './outbox.js';
import { People } from './people.js';
import { address, Rooms, titleOf, unfit } from './rooms.js';
import { LOBBY } from './sse-chat.js';
import { Notice, Status } from './status.js';
import { Timeline } from './timeline.js';
import { learnTime, say, translate } from './words.js';

translate();

const outbox = new Outbox();
const people = new People();
const rooms = new Rooms();
const composer = new Composer();
const notice = new Notice();
const status = new Status();
const timeline = new Timeline();

const panels = [find('menu'), find('about')];
for (const panel of panels) panel.addEventListener('toggle', () => import('./panels.js').then(({ toggled }) => toggled(rooms, people), () => {}));

let unreadElsewhere = 0;
let unseenHere = 0;

function show() {
  const { room } = address;
  find('bad-room').hidden = room !== '';
  find('chat').hidden = room === '';
  find('here').hidden = room === '';
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
}

function showDrafts() {
  for (const draft of outbox.in(address.room)) timeline.pending(draft, shut.has(`write ${address.room}`));
}

// the server may be away by then
const prepareToSend = () => import('./sse-chat-send.js').catch(() => {});
find('text').addEventListener('input', prepareToSend, { once: true });

composer.on('send', (text) => {
  rooms.visit(address.room);
  outbox.write(address.room, text, people.name);
  timeline.answered();
});
outbox.on('draft', (draft) => {
  if (draft.room === address.room) timeline.pending(draft, shut.has(`write ${draft.room}`));
});
outbox.on('gone', ({ nonce }) => timeline.discard(nonce));
outbox.on('sent', (message) => {
  if ((message.room ?? LOBBY) === address.room) timeline.confirm(message);
});
timeline.on('stored', (nonce) => outbox.forget(nonce, true));
timeline.on('again', (nonce) => outbox.again(nonce));
timeline.on('discard', (nonce) => {
  outbox.forget(nonce);
  timeline.discard(nonce);
});

timeline.on('seen', (id) => rooms.seen(address.room, id));
timeline.on('unseen', (count) => {
  unseenHere = count;
  notice.unread(unseenHere + unreadElsewhere);
});
rooms.on('unread', (count) => {
  unreadElsewhere = count;
  notice.unread(unseenHere + unreadElsewhere);
});
document.addEventListener('visibilitychange', () => {
  timeline.looked();
  if (/write/.test([...shut].join())) chat.retry(); // maybe back from a login
});
addEventListener('focus', () => timeline.looked());
setInterval(() => {
  timeline.looked(); // at midnight, days change
  if (document.visibilityState === 'visible') outbox.adopt(true);
}, 60_000);

// for phones whose keyboard covers the page
window.visualViewport?.addEventListener('resize', () => {
  const { height, scale } = /** @type {VisualViewport} */ (window.visualViewport);
  document.body.style.height = scale === 1 && height < innerHeight ? `${height}px` : '';
});

show();
rooms.count();
if (top === window && matchMedia('(hover)').matches) composer.focus();

chat.addEventListener('hello', ({ data }) => learnTime(data.now));
chat.addEventListener('message', ({ data: message }) => {
  const room = message.room ?? LOBBY;
  const isHere = room === address.room;
  if (isMine(message)) outbox.forget(message.nonce, true);
  status.lastAt = Math.max(status.lastAt, message.timestamp);
  if (isHere) timeline.arrive('message', message);
  else if (!isMine(message)) rooms.arrived(room, message.id);
  const isSeen = isHere && document.visibilityState === 'visible' && document.hasFocus();
  if (chat.state === 'live' && !isMine(message)) notice.message(message, titleOf(room), isSeen);
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
  else import('./servernames.js').then(({ learnNames }) => learnNames(rooms.names, () => timeline.recognize())).catch(() => {});
}

address.on('room', (room) => {
  show();
  showState();
  if (chat.refused.has(room)) chat.retry();
});
rooms.on('changed', () => chat.subscribe({ rooms: rooms.names }));
people.on('name', (name) => chat.subscribe({ name }));
status.on('retry', () => {
  chat.retry();
  timeline.refresh();
});
outbox.start();
chat.subscribe({ rooms: rooms.names, name: people.name });
setTimeout(() => {
  prepareToSend();
  for (const file of ['servernames', 'panels', 'roomlist', 'unfit']) import(`./${file}.js`).catch(() => {});
}, 15_000);
