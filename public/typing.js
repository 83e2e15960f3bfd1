// Sends and shows typing signals. Loaded with the first.

import { find, make } from './dom.js';
import { chat } from './history.js';
import { everywhere } from './remember.js';
import { address } from './rooms.js';
import { say } from './words.js';

/** @type {Map<string, any[]>} room, name and end */
const typists = new Map();
const words = ['typing1', 'typing2', 'typing3'];
let last = '';
let told = 0;

export function typed() {
  const text = find('text').value.trim();
  const { room } = address;
  const now = Date.now();
  if (text === last) return;
  last = text;
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
  setTimeout(show, 5010);
  show();
}

function show() {
  const names = [...typists.values()].filter(([room, , end]) => room === address.room && end > Date.now()).map(([, name]) => name || say('nameless'));
  const parts = names.length ? say(words[Math.min(names.length, 3) - 1], '\n', '\n').split('\n') : [];
  find('typing').replaceChildren(...parts.flatMap((part, i) => (i ? [make('bdi', {}, names[i - 1]), part] : part)));
}

chat.addEventListener('message', ({ data: { room = 'lobby', name = '', author = name } }) => typists.delete(`${room} ${author}`) && show());
address.on('room', show);
