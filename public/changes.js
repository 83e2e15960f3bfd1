// Changes of messages that are shown. Loaded when there are some.

import { fetchPage, justBefore } from './history.js';
import { prepare } from './message.js';
import { compareIds } from './sse-chat.js';
import { applyChange } from './sse-chat-list.js';
import { requote } from './annotations.js';

await prepare([{ text: '://@', edited: 1 }]); // an append may complete a link

/** Rows that are fetched again. @type {Set<string>} */
const again = new Set();

/**
 * Applies changes and deletions. Those that a row knows already do nothing.
 * @param {import('./rows.js').Rows} rows @param {Arrival[]} arrivals
 * @param {(id: string) => Promise<unknown>} fetchAgain a change before it is missing
 */
export function apply(rows, arrivals, fetchAgain) {
  for (const { type, data } of arrivals) {
    const { id, through } = data;
    const found = rows.where((other) => (id ? other === id : compareIds(other, through) <= 0));
    if (id) requote(id, data.room);
    if (type === 'delete') rows.drop(found);
    if (type !== 'change') continue;
    for (const row of found) {
      const message = applyChange(row.message, data);
      if (message) {
        row.renew(message);
      } else if (!again.has(id)) {
        again.add(id);
        fetchAgain(id).finally(() => again.delete(id));
      }
    }
  }
}

/**
 * Fetches the messages from one id to another, and returns what makes rows the same.
 * If nothing older is left, an expired message looks like a deleted one; `keeps`
 * takes it for expired.
 * @param {string} room @param {string} from @param {string} to @param {boolean} keeps
 */
export async function fetchRange(room, from, to, keeps) {
  /** @type {Message[]} */
  const messages = [];
  if (!to) return null;
  const limit = from === to ? 5 : 200;
  let after = justBefore(from);
  for (let more = true; more && compareIds(after, to) < 0;) {
    const page = await fetchPage(room, { after, limit });
    if (!page) return null;
    messages.push(...page.messages);
    after = page.messages.at(-1)?.id ?? to;
    more = page.more;
  }
  const older = keeps ? await fetchPage(room, { before: from, limit: 1 }) : null;
  if (keeps && !older) return null;
  const begin = keeps && !older?.messages.length ? messages[0]?.id : from;
  /** @param {string} id */
  const covers = (id) => compareIds(id, from) >= 0 && compareIds(id, to) <= 0;
  const ids = new Set(messages.map(({ id }) => id));
  /** @param {import('./rows.js').Rows} rows @param {(message: Message) => void} add */
  return (rows, add) => {
    const gone = rows.where((id) => Boolean(begin) && covers(id) && compareIds(id, begin) >= 0 && !ids.has(id));
    for (const row of gone) rows.drop([row]);
    messages.filter(({ id }) => covers(id)).forEach(add);
  };
}
