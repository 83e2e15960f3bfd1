// Drafts: messages and changes that are not acknowledged yet. They stay in the storage until
// outbox.js has sent them. Also which messages are the reader's own.

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

/** Makes the browser ask before the page is left. @param {Event} event */
export const ask = (event) => event.preventDefault();

/** The reader as named in reactions. @param {string} [room] */
export const me = (room = LOBBY) => names.get(room) || author;

const MOST = 500;
const ANSWERED = 'answered';
const answered = new Set(everywhere.list(ANSWERED, isText));

/** Remembers an own message that has no author tag, because a login replaced the key. @param {Message} message from the answer to the reader */
export function learnMine({ id, author: by }) {
  if (by === author) return;
  answered.add(id);
  everywhere.set(ANSWERED, [...answered].slice(-MOST));
}

/** Anyone can copy a nonce or a chosen name, so neither counts. @param {Message} message */
export const isMine = ({ room = LOBBY, id, name, author: by }) => (by ? by === author : answered.has(id)) || (Boolean(name) && name === names.get(room));
