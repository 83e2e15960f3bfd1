// What the reader has written. Drafts wait in the storage until outbox.js has sent
// them; it is loaded with the first one.

import { author, random } from './authorkey.js';
import { everywhere, isText } from './remember.js';
import { LOBBY } from './sse-chat.js';

/** A key for each draft, because tabs write concurrently. */
export const KEY = 'outbox ';

/** This tab. */
export const tab = random();

let last = 0;

/** @param {Partial<Draft> & {room: string}} what @returns {Draft} */
export function keep(what) {
  last = Math.max(Date.now(), last + 1);
  const draft = { nonce: random(), at: last, tab, ...what };
  everywhere.set(KEY + draft.nonce, draft);
  return draft;
}

/** The reader's name from the server, by room. @type {Map<string, string>} */
export const names = new Map();

/** Who leaves is asked while something waits. @param {Event} event */
export const ask = (event) => event.preventDefault();

/** How reactions name the reader. @param {string} [room] */
export const me = (room = LOBBY) => names.get(room) || author;

const MOST = 500;
const ANSWERED = 'answered';
const answered = new Set(everywhere.list(ANSWERED, isText));

/** A server whose login takes the place of the key cannot tell later. @param {Message} message from the answer to the reader */
export function learnMine({ id, author: by }) {
  if (by === author) return;
  answered.add(id);
  everywhere.set(ANSWERED, [...answered].slice(-MOST));
}

/** Nonces and chosen names are anybody's. @param {Message} message */
export const isMine = ({ room = LOBBY, id, name, author: by }) => (by ? by === author : answered.has(id)) || (Boolean(name) && name === names.get(room));
