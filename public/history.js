// Pages of a room's messages, and their order.

import { endpoint } from './address.js';

export const PAGE = 50;

/**
 * @param {string} room
 * @param {{before?: string, after?: string, limit?: number}} [query]
 * @returns {Promise<Page|null>}
 */
export async function fetchPage(room, { limit = PAGE, ...query } = {}) {
  try {
    const answer = await fetch(endpoint('history', room, { ...query, limit: String(limit) }));
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // the connection tells what is wrong
  }
}

// ids are "<ms>" or "<ms>-<n>", both compared as numbers

/** @param {string} id */
const parts = (id) => {
  const [ms, n = '0'] = id.split('-');
  return [ms.padStart(20, '0'), n.padStart(20, '0')];
};

/** Compares two ids; the empty one is older than all. @param {string} a @param {string} b */
export function compare(a, b) {
  const [x, y] = [parts(a).join(), parts(b).join()];
  return x < y ? -1 : x > y ? 1 : 0;
}
