// The page's client of the server, and pages of a room's messages.

import { author, authorKey } from './authorkey.js';
import { prepare } from './message.js';
import { Chat } from './sse-chat.js';

export const PAGE = 50;

// over HTTP/1.1, tabs share a stream
export const chat = new Chat({ rooms: [], keep: 0, shareTabs: 'http1', author, authorKey });

/** Reading or writing in a room that needs a login: `read lobby`. @type {Set<string>} */
export const shut = new Set();

/** @param {string} what @param {boolean} isShut */
export function learn(what, isShut) {
  if (isShut === shut.has(what)) return;
  if (isShut) shut.add(what);
  else shut.delete(what);
  chat.dispatchEvent(new Event('statechange'));
}

/** An id after which a message is the first one. @param {string} id */
export function justBefore(id) {
  const [ms, n = 0] = id.split('-').map(Number);
  return n ? `${ms}-${n - 1}` : `${ms - 1}-${Number.MAX_SAFE_INTEGER}`;
}

/** @param {string} room @param {{before?: string, after?: string, limit?: number}} [query] */
export async function fetchPage(room, query) {
  try {
    const page = await chat.history({ room, limit: PAGE, ...query });
    learn(`read ${room}`, false);
    await prepare(page.messages);
    return page;
  } catch (/** @type {any} */ { code }) {
    if (code) learn(`read ${room}`, code === 'login');
    return null; // the stream reports the error
  }
}
