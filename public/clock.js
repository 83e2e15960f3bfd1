// The server's clock, which the browser's may be far from.

let ahead = 0; // ms that the server's is ahead of ours

/** @param {number} now the server's, in ms */
export function learnTime(now) {
  ahead = now - Date.now();
}

/** The time by the server's clock, in ms. */
export const serverTime = () => Date.now() + ahead;
