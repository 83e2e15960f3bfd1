// Connects the parts of the page.

import { Composer } from './composer.js';
import { find } from './dom.js';
import { isMine, names } from './drafts.js';
import { loadLater } from './lazy.js';
import { chat, shut } from './history.js';
import { People } from './people.js';
import { address, Rooms, titleOf, unfit } from './rooms.js';
import { LOBBY } from './sse-chat.js';
import { Notice, Status } from './status.js';
import { Timeline } from './timeline.js';
import { learnTime, say, translate } from './words.js';
import { Writing } from './writing.js';

translate();

const people = new People();
const rooms = new Rooms();
const composer = new Composer();
const notice = new Notice();
const status = new Status();
const timeline = new Timeline();
const writing = new Writing(timeline);

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
  writing.show();
  visitLinked();
}

/** Goes to the message in the page's address. */
function visitLinked() {
  const [id] = /^\d+(-\d+)?$/.exec(location.hash.slice(1)) ?? [];
  if (id) visit(id);
}

/** @param {string} id of a message */
async function visit(id) {
  if (await timeline.goTo(id) !== false) return;
  const { hint } = await import('./hint.js');
  hint(say('lost'));
}

composer.on('send', (text) => {
  rooms.visit(address.room);
  writing.write({ text, name: people.name, reply_to: composer.replyTo || undefined });
  composer.replyTo = '';
  timeline.answered();
});

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
  if (document.visibilityState === 'visible') writing.adopt();
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
  if (isMine(message)) writing.forget(message.nonce);
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
  writing.show();
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

addEventListener('hashchange', visitLinked);
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
loadLater(timeline, writing, composer, visit);
