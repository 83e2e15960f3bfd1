// Shows the reader's unacknowledged changes of a message. Loaded with the first change.

import { me } from './drafts.js';
import { shut } from './history.js';
import { prepare } from './message.js';
import { previews } from './rows.js';
import { say } from './words.js';

/** @param {Message} message @param {Draft} draft @returns {Message} */
function changed(message, { change, at }) {
  if (!change) return message; // the row hides it
  const { react, unreact, text } = change;
  if (text !== undefined) return { ...message, text, edited: at };
  const emoji = react ?? unreact ?? '';
  const { [emoji]: { count, by } = { count: 0, by: [] }, ...others } = message.reactions ?? {};
  const my = me(message.room);
  const isThere = by.includes(my);
  const now = { count: count + (react && !isThere ? 1 : unreact && isThere ? -1 : 0), by: by.filter((tag) => tag !== my).concat(react ? my : []) };
  return { ...message, reactions: { ...others, ...now.count > 0 && { [emoji]: now } } };
}

/**
 * @param {string} id
 * @param {Draft[]} drafts of the room
 * @param {import('./timeline.js').Timeline} timeline
 */
export async function preview(id, drafts, timeline) {
  const mine = drafts.filter((draft) => draft.id === id);
  const last = mine.at(-1);
  if (last) {
    const { change, due, error, nonce, room } = last;
    const isDeleted = change === null;
    previews.set(id, {
      changed: (message) => mine.reduce(changed, message),
      tell: (row) => {
        row.item.classList.toggle('deleted', isDeleted);
        if (isDeleted && due && !error) row.tell('pending', say('deleted'), { undo: () => timeline.emit('discard', nonce) });
        else timeline.tell(row, last, shut.has(`write ${room}`));
      },
    });
  } else {
    previews.delete(id);
    const row = timeline.get(id);
    row?.item.classList.remove('deleted');
    row?.tell('');
  }
  await prepare([{ edited: 1 }]);
  timeline.draw(id);
}
