// The names that the server gives the reader, maybe a different one in each room, or
// none. Loaded when it gives one, or when the page is in use.

import { names } from './drafts.js';
import { Chat } from './sse-chat.js';

/**
 * @param {string[]} rooms
 * @param {() => void} learned
 */
export async function learnNames(rooms, learned) {
  for (const room of rooms) {
    if (names.has(room)) continue;
    names.set(room, '');
    const name = await nameIn(room);
    if (name === undefined) names.delete(room);
    else names.set(room, name);
    if (name) learned();
  }
}

/** '' if the reader may choose, undefined if it does not say. @param {string} room @returns {Promise<string|undefined>} */
const nameIn = (room) => new Promise((resolve) => {
  const there = new Chat({ rooms: [room], keep: 0 });
  /** @param {string} [name] */
  const end = (name) => {
    resolve(name);
    there.close();
  };
  there.addEventListener('hello', () => end(there.you?.name ?? ''), { once: true });
  there.addEventListener('statechange', ({ data }) => data === 'connecting' || end());
});
