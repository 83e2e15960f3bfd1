// Connects the parts of the page.

import { address, LOBBY } from './address.js';
import { Composer } from './composer.js';
import { Connection } from './connection.js';
import { find } from './dom.js';
import { history } from './history.js';
import { Notice } from './notice.js';
import { isMine, names, Outbox } from './outbox.js';
import { People } from './people.js';
import { Rooms, titleOf } from './rooms.js';
import { Status } from './status.js';
import { Timeline } from './timeline.js';
import { say, translate } from './words.js';

translate();

const outbox = new Outbox();
const people = new People();
const rooms = new Rooms();
const composer = new Composer();
const notice = new Notice();
const status = new Status();
const timeline = new Timeline();

let unreadElsewhere = 0;
let unseenHere = 0;

function show() {
  const { room } = address;
  find('bad-room').hidden = room !== '';
  find('chat').hidden = room === '';
  if (find('menu').matches(':popover-open')) find('menu').hidePopover();
  if (!room) {
    find('bad-room-text').textContent = say('badRoom', address.asked);
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
  for (const draft of outbox.in(address.room)) timeline.pending(draft, outbox.shut.has(address.room));
}

composer.on('send', (text) => {
  outbox.write(address.room, text, people.name);
  timeline.answered();
});
outbox.on('draft', (draft) => {
  if (draft.room === address.room) timeline.pending(draft, outbox.shut.has(draft.room));
});
outbox.on('gone', ({ nonce }) => timeline.discard(nonce));
outbox.on('sent', (message) => {
  if ((message.room ?? LOBBY) === address.room) timeline.confirm(message);
});
timeline.on('stored', (nonce) => outbox.forget(nonce));
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
  if (outbox.shut.size) outbox.hurry(); // maybe back from a login
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

// over HTTP/1.1, tabs share a stream
const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
const isShared = !/^h[23]/.test(navigation?.nextHopProtocol);
const Stream = (isShared && (await import('./tabs.js').catch(() => undefined))?.SharedConnection) || Connection;
const connection = new Stream(() => ({ rooms: rooms.names, name: people.name }));

connection.on('message', (/** @type {Message} */ message) => {
  const room = message.room ?? LOBBY;
  const isHere = room === address.room;
  if (isMine(message)) outbox.forget(message.nonce);
  status.lastAt = Math.max(status.lastAt, message.timestamp);
  if (isHere) timeline.arrive('message', message);
  else if (!isMine(message)) rooms.arrived(room, message.id);
  const isSeen = isHere && document.visibilityState === 'visible' && document.hasFocus();
  if (connection.state === 'live' && !isMine(message)) notice.message(message, titleOf(room), isSeen);
});
connection.on('live', () => {
  outbox.hurry();
  meet();
});
connection.on('gap', () => timeline.gap());
connection.on('missed', () => {
  timeline.refresh();
  timeline.missed(false);
  rooms.count();
});
for (const type of ['change', 'delete']) {
  connection.on(type, (data) => {
    if ((data.room ?? LOBBY) === address.room) timeline.arrive(type, data);
  });
}
connection.on('presence', (presence) => people.present(presence));

function showState() {
  showDrafts();
  const barred = connection.barred.get(address.room);
  const shut = [outbox, history].some((asked) => asked.shut.has(address.room)) ? 'login' : undefined;
  status.show(barred ?? shut ?? connection.state, connection.retryAt, barred !== undefined);
}

function meet() {
  const name = connection.you?.name ?? '';
  people.given(name);
  if (!name) names.clear();
  else import('./door.js').then(({ learnNames }) => learnNames(rooms.names, () => timeline.recognize())).catch(() => {});
}

connection.on('state', (state) => {
  showState();
  if (state !== 'live') return;
  meet();
  // at first, and after a time without a stream, history has the rest
  timeline.refresh();
});
connection.on('barred', () => {
  rooms.bar(connection.barred);
  showState();
  if (!connection.barred.has(address.room)) timeline.refresh();
});
address.on('room', (room) => {
  show();
  showState();
  if (connection.barred.has(room)) connection.retry();
});
rooms.on('changed', () => connection.reopen());
people.on('name', () => connection.reopen());
status.on('retry', () => {
  connection.retry();
  timeline.refresh();
  outbox.hurry();
});
history.on('shut', showState);
outbox.on('shut', showState);
outbox.start();
connection.start();
// for when everything needs a login
setTimeout(() => import('./door.js').catch(() => {}), 15_000);
