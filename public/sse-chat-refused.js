// Why there is no stream, and in which rooms if not in all. sse-chat.js loads this file
// when an answer is no stream.

import { isStream, wantsLogin } from './sse-chat.js';

/** @import { State } from './sse-chat.js' */

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
  if (isStream(answer)) return undefined;
  if (ok || status === 404) return ok && wasThere ? 'login' : 'absent';
  return status < 500 && status !== 408 && status !== 429 ? 'refused' : undefined;
}

/**
 * @param {Response} answer
 * @param {boolean} wasThere
 * @param {string[]} rooms
 * @param {(room: string) => Promise<Response>} ask
 * @returns {Promise<[State|undefined, [string, State][]]>} the reason, and the rooms that refuse if others do not
 */
export async function explain(answer, wasThere, rooms, ask) {
  const reason = reasonOf(answer, wasThere);
  /** @type {[string, State][]} */
  const refusing = [];
  if (reason && rooms.length > 1) {
    await Promise.all(rooms.map(async (room) => {
      const there = await ask(room).catch(() => null);
      const why = there && reasonOf(there, wasThere);
      if (why) refusing.push([room, why === 'login' ? why : 'refused']);
    }));
  }
  return [reason, refusing.length < rooms.length ? refusing : []];
}
