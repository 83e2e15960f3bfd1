// Pages of a room's messages.

import { endpoint } from './address.js';

/** @typedef {import('./connection.js').Message} Message */
/** @typedef {{messages: Message[], more: boolean}} Page oldest first; more: in the direction asked */

/** Messages of a page, if no other number is asked for. */
export const PAGE = 50;

/**
 * Fetches the messages before or after an id, or the newest.
 * @param {string} room
 * @param {{before?: string, after?: string, limit?: number}} [query]
 * @returns {Promise<Page|null>} null if it cannot be had now
 */
export async function fetchPage(room, { limit = PAGE, ...query } = {}) {
  try {
    const answer = await fetch(endpoint('history', room, { ...query, limit: String(limit) }));
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // the connection tells what is wrong
  }
}
