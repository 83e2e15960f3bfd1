// Counts what has come into the visited rooms while the page was closed. Loaded when
// there are several.

import { isMine } from './drafts.js';
import { fetchPage } from './history.js';

export const MANY = 99; // more are not counted
const AT_ONCE = 3; // browsers open few connections, and the page needs some

/** @param {[string, string][]} visited rooms and the last read messages @param {Map<string, number>} unread */
export async function count(visited, unread) {
  const rest = visited.filter(([, read]) => read);
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let visit; (visit = rest.pop());) {
      const page = await fetchPage(visit[0], { after: visit[1], limit: MANY + 1 });
      const count = page?.messages.filter((message) => !isMine(message)).length;
      if (count) unread.set(visit[0], count);
    }
  }));
}
