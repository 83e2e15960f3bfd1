// The chat page: puts together what a person sees.

import { address, LOBBY } from './address.js';
import { Composer } from './composer.js';
import { Connection } from './connection.js';
import { find } from './dom.js';
import { Notice } from './notice.js';
import { isMine, Outbox, remember } from './outbox.js';
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
let isLive = false;

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
  for (const draft of outbox.in(room)) timeline.pending(draft);
}

// ——— what goes ———

composer.on('send', (text) => {
  outbox.write(address.room, text, people.name);
  timeline.answered();
});
outbox.on('pending', (draft) => {
  remember(draft.nonce);
  if (draft.room === address.room) timeline.pending(draft);
});
outbox.on('failed', (draft) => {
  if (draft.room === address.room) timeline.pending(draft);
});
outbox.on('sent', ({ draft, message }) => {
  if (draft.name !== (message.name ?? '')) people.given(message.name ?? '');
  if (draft.room === address.room) timeline.confirm(message);
});
outbox.on('deleted', ({ nonce }) => timeline.discard(nonce));
timeline.on('again', (nonce) => outbox.again(nonce));
timeline.on('discard', (nonce) => {
  outbox.forget(nonce);
  timeline.discard(nonce);
});

// ——— what the reader does ———

timeline.on('seen', (id) => rooms.seen(address.room, id));
timeline.on('unseen', (count) => {
  unseenHere = count;
  notice.unread(unseenHere + unreadElsewhere);
});
rooms.on('unread', (count) => {
  unreadElsewhere = count;
  notice.unread(unseenHere + unreadElsewhere);
});
document.addEventListener('visibilitychange', () => timeline.looked());
addEventListener('focus', () => timeline.looked());
setInterval(() => timeline.looked(), 60_000); // for midnight

// where the keyboard of a phone lies over the page instead of making it smaller
window.visualViewport?.addEventListener('resize', () => {
  const { height, scale } = /** @type {VisualViewport} */ (window.visualViewport);
  document.body.style.height = scale === 1 && height < innerHeight ? `${height}px` : '';
});

address.on('room', show);
show();
outbox.start();
rooms.count();
if (!matchMedia('(hover: none)').matches) composer.focus();

// ——— what comes ———

// over HTTP/1.1, tabs share a stream
const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
const isShared = !/^h[23]/.test(navigation.nextHopProtocol) && 'locks' in navigator && 'BroadcastChannel' in window;
const Stream = isShared ? (await import('./tabs.js')).SharedConnection : Connection;
const connection = new Stream(() => ({ rooms: rooms.names, name: people.name }));

connection.on('message', (/** @type {Message} */ message) => {
  const room = message.room ?? LOBBY;
  const isHere = room === address.room;
  outbox.forget(message.nonce);
  status.lastAt = Math.max(status.lastAt, message.timestamp);
  if (isHere) timeline.add(message);
  else if (!isMine(message)) rooms.arrived(room, message.id);
  const isSeen = isHere && document.visibilityState === 'visible' && document.hasFocus();
  if (isLive && !isMine(message)) notice.message(message, titleOf(room), isSeen);
});
connection.on('live', () => outbox.hurry());
connection.on('gap', () => {
  timeline.gap();
  timeline.refresh();
});
connection.on('missed', () => {
  timeline.refresh();
  rooms.count();
});
connection.on('delete', ({ id }) => timeline.remove(id));
connection.on('presence', (presence) => people.present(presence));
connection.on('state', (state) => {
  isLive = state === 'live';
  status.show(state, connection.retryAt);
  // at first, and after a time without a stream, history tells the rest
  if (isLive) timeline.refresh();
});
rooms.on('changed', () => connection.reopen());
people.on('name', () => connection.reopen());
status.on('retry', () => connection.retry());
connection.start();
