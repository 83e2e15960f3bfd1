// Counts down until the server accepts a message again. Loaded with the first 429.

import { say } from './words.js';

/** @param {HTMLElement} fate @param {number} until */
export function countDown(fate, until) {
  const seconds = Math.ceil((until - Date.now()) / 1000);
  // unlike a new node, it is not read out each second
  if (fate.firstChild) fate.firstChild.nodeValue = seconds > 0 ? say('waits', seconds) : say('sending');
  if (seconds > 0) setTimeout(() => fate.isConnected && countDown(fate, until), 1000);
}
