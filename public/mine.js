// What the reader has written, in whichever tab of this browser.

import { everywhere, onChange } from './remember.js';

const KEY = 'mine';
const MOST = 500;

/** Nonces. @type {Set<string>} */
let written = new Set(everywhere.get(KEY, []));

onChange(KEY, () => {
  written = new Set(everywhere.get(KEY, []));
});

/** @param {string} nonce */
export function remember(nonce) {
  if (written.has(nonce)) return;
  written.add(nonce);
  everywhere.set(KEY, [...written].slice(-MOST));
}

/** @param {{nonce?: string}} message */
export const isMine = ({ nonce }) => nonce !== undefined && written.has(nonce);
