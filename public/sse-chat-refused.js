// Why there is no stream, and in which rooms if not in all. sse-chat.js loads this file
// when an answer is no stream.

import { isStream, wantsLogin } from './sse-chat.js';

const LONGEST_PAUSE = 300; // s

/** @import { State } from './sse-chat.js' */

/** In milliseconds, -1 if the answer has none. They must not return together. @param {Response} answer */
function delayOf({ status, headers }) {
  const seconds = parseInt(headers.get('Retry-After') ?? '', 10);
  return status === 503 && seconds >= 0 ? 1000 * Math.min(LONGEST_PAUSE, seconds) * (1 + Math.random()) : -1;
}

/**
 * Undefined if the answer is a stream, or may soon be one.
 * @param {Response} answer
 * @param {boolean} wasThere a different answer now is from a login, or a network's
 * @returns {State|undefined}
 */
function reasonOf(answer, wasThere) {
  const { ok, status } = answer;
  if (wantsLogin(answer)) return 'login';
  if (status === 204) return 'removed'; // forever
  if (delayOf(answer) >= 0) return 'full';
  if (isStream(answer)) return undefined;
  if (ok || status === 404) return ok && wasThere ? 'login' : 'absent';
  return status < 500 && status !== 408 && status !== 429 ? 'refused' : undefined;
}

/**
 * @param {Response} answer
 * @param {boolean} wasThere
 * @param {string[]} rooms
 * @param {(room: string) => Promise<Response>} ask
 * @returns {Promise<[State|undefined, [string, State][], number]>} the reason, the rooms that refuse if others do not, and the delay
 */
export async function explain(answer, wasThere, rooms, ask) {
  const reason = reasonOf(answer, wasThere);
  /** @type {[string, State][]} */
  const refusing = [];
  if (reason && reason !== 'full' && rooms.length > 1) {
    await Promise.all(rooms.map(async (room) => {
      const there = await ask(room).catch(() => null);
      const why = there && reasonOf(there, wasThere);
      if (why && why !== 'full') refusing.push([room, why === 'login' ? why : 'refused']);
    }));
  }
  return [reason, refusing.length < rooms.length ? refusing : [], delayOf(answer)];
}
