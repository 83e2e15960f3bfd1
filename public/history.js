// Pages of a room's messages, and their order.

import { endpoint } from './address.js';
import { wantsLogin } from './connection.js';
import { Source } from './dom.js';
import { prepare } from './message.js';

export const PAGE = 50;

class History extends Source {
  /** Rooms that need a login. @type {Set<string>} */
  shut = new Set();

  /** @param {string} room @param {boolean} isShut */
  heard(room, isShut) {
    if (isShut === this.shut.has(room)) return;
    if (isShut) this.shut.add(room);
    else this.shut.delete(room);
    this.emit('shut');
  }
}

/** Emits `shut` when those rooms change. */
export const history = new History();

/**
 * @param {string} room
 * @param {{before?: string, after?: string, limit?: number}} [query]
 * @returns {Promise<Page|null>}
 */
export async function fetchPage(room, { limit = PAGE, ...query } = {}) {
  try {
    const answer = await fetch(endpoint('history', room, { ...query, limit: String(limit) }), { redirect: 'manual' });
    history.heard(room, wantsLogin(answer));
    const page = answer.ok ? await answer.json() : null;
    if (!Array.isArray(page?.messages)) return null;
    await prepare(page.messages);
    return page;
  } catch {
    return null; // the connection reports the error
  }
}

// ids are "<ms>" or "<ms>-<n>", both compared as numbers

/** @param {string} id */
const parts = (id) => {
  const [ms, n = '0'] = id.split('-');
  return [ms.padStart(20, '0'), n.padStart(20, '0')];
};

/** Compares two ids; the empty one is the oldest. @param {string} a @param {string} b */
export function compare(a, b) {
  const [x, y] = [parts(a).join(), parts(b).join()];
  return x < y ? -1 : x > y ? 1 : 0;
}
