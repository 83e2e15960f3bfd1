// The page's client of the server, and pages of a room's messages.

import { Source } from './dom.js';
import { prepare } from './message.js';
import { Chat } from './sse-chat.js';

export const PAGE = 50;

// over HTTP/1.1, tabs share a stream
export const chat = new Chat({ rooms: [], keep: 0, shareTabs: 'http1' });

class Shut extends Source {
  #all = new Set();

  /** @param {'read'|'write'} how @param {string} room */
  has(how, room) {
    return this.#all.has(how + room);
  }

  /** @param {'read'|'write'} how @param {string} room @param {boolean} isShut */
  set(how, room, isShut) {
    if (isShut === this.has(how, room)) return;
    if (isShut) this.#all.add(how + room);
    else this.#all.delete(how + room);
    this.emit('changed');
  }
}

/** What needs a login. Emits `changed`. */
export const shut = new Shut();

/**
 * @param {string} room
 * @param {{before?: string, after?: string, limit?: number}} [query]
 * @returns {Promise<Page|null>}
 */
export async function fetchPage(room, query) {
  try {
    const page = await chat.history({ room, limit: PAGE, ...query });
    shut.set('read', room, false);
    await prepare(page.messages);
    return page;
  } catch (/** @type {any} */ { code }) {
    if (code) shut.set('read', room, code === 'login');
    return null; // the stream reports the error
  }
}
