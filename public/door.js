// What the server says about a reader, which an EventSource does not show. Loaded
// when the page is in use, or when it needs to ask.

import { endpoint } from './address.js';
import { wantsLogin } from './connection.js';
import { idOf, MINE, names } from './outbox.js';
import { everywhere } from './remember.js';

const LONGEST_ANSWER = 10_000;
const MOST_MINE = 500;

/** @param {string} key */
const age = (key) => parseInt(idOf(key) ?? '', 10) || 0;
for (const key of everywhere.keys(MINE).sort((a, b) => age(b) - age(a)).slice(MOST_MINE)) everywhere.set(key);

/**
 * Why there is no stream, which EventSource does not show; '' for no reason.
 * @param {string} url
 * @param {boolean} wasThere a different answer now is from a login, or a network's
 * @param {string} [method]
 * @returns {Promise<State|''>}
 */
async function knock(url, wasThere, method) {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), LONGEST_ANSWER);
  const answer = await fetch(url, { method, cache: 'no-store', redirect: 'manual', signal: control.signal }).catch(() => null);
  const streams = answer?.headers.get('Content-Type')?.startsWith('text/event-stream');
  clearTimeout(timer);
  control.abort(); // it may be a stream
  if (!answer || streams) return '';
  const { ok, status } = answer;
  if (wantsLogin(answer)) return 'login';
  if (status === 204) return 'removed'; // forever
  if (ok || status === 404) return ok && wasThere ? 'login' : 'absent';
  return status < 500 && status !== 408 && status !== 429 ? 'refused' : '';
}

/**
 * Why there is no stream, and for which rooms if not for all.
 * @param {string} url
 * @param {string[]} rooms
 * @param {boolean} wasThere
 * @returns {Promise<{reason: State|'', barred: [string, State][]}>}
 */
export async function ask(url, rooms, wasThere) {
  const reason = await knock(url, wasThere);
  /** @type {[string, State][]} */
  const barred = [];
  if (reason && rooms.length > 1) {
    await Promise.all(rooms.map(async (room) => {
      const why = await knock(endpoint('subscribe', room), wasThere, 'HEAD');
      if (why) barred.push([room, why === 'login' ? why : 'refused']);
    }));
  }
  return { reason, barred: barred.length < rooms.length ? barred : [] };
}

/**
 * The server may give the reader a different name in each room, or none.
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
  const source = new EventSource(endpoint('subscribe', room, { events: '1' }));
  source.addEventListener('hello', ({ data }) => {
    source.close();
    resolve(JSON.parse(data).you?.name ?? '');
  });
  source.onerror = () => {
    source.close();
    resolve(undefined);
  };
});
