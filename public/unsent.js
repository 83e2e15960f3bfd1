// Keeps unsent text of the composer, by room and tab.

import { everywhere, here, isText } from './remember.js';

const KEY = 'draft ';
const MOST = 50;

// each tab has its own; a new tab gets one of a closed tab
const tab = String(Math.random());
const before = here.get('tab', '');
here.set('tab', tab);
/** @type {[room: string, text: string]} */
let last = ['', ''];

/** Its text, when it was written, and whether its tab is closed. @param {string} key @returns {[string, number, boolean]} */
const draft = (key) => everywhere.get(key, ['', 0, false], ([text, at]) => isText(text) && Number.isFinite(at));

for (const key of everywhere.keys(KEY).sort((a, b) => draft(b)[1] - draft(a)[1]).slice(MOST)) everywhere.set(key);

/** @param {string} room */
export function take(room) {
  const keys = everywhere.keys(`${KEY}${room} `);
  const key = [tab, before].map((id) => `${KEY}${room} ${id}`).find((own) => keys.includes(own))
    ?? keys.find((other) => draft(other)[2]) ?? keys[0] ?? ''; // a phone may close a tab without an event
  const [text] = draft(key);
  if (key) everywhere.set(key);
  keep(room, text);
  return text;
}

/** @param {string} room @param {string} text */
export function keep(room, text, isLeft = false) {
  last = [room, text];
  everywhere.set(`${KEY}${room} ${tab}`, text ? [text, Date.now(), isLeft] : undefined);
}

// another tab may have taken it
addEventListener('pagehide', () => last[1] && keep(...last, true));
