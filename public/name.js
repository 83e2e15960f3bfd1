// Which names are valid. The server has the same rule in internal/wire; a test
// compares both for all of Unicode. Loaded when the reader has a name.

import { invisible } from './page.js';

const emoji = String.raw`[\p{Emoji}&&\p{Extended_Pictographic}]`;

// visible characters and parts of emoji: variation selectors, joiners, and the
// tags of regional flags
const part = String.raw`[[\p{L}\p{M}\p{N}\p{P}\p{S}\x20]--${invisible}]|(?<=${emoji})[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)`
  + String.raw`|(?<=${emoji}[\ufe0e\ufe0f]?[\u{1f3fb}-\u{1f3ff}]*)\u200d(?=${emoji})`
  + String.raw`|(?<=\u{1f3f4})\u{e0067}\u{e0062}(?:\u{e0065}\u{e006e}\u{e0067}|\u{e0073}\u{e0063}\u{e0074}|\u{e0077}\u{e006c}\u{e0073})\u{e007f}`;

const parts = new RegExp(part, 'gv');
const whole = new RegExp(`^(?:${part})+$`, 'v');

/** @param {string} s */
const fits = (s) => new TextEncoder().encode(s).length <= 64;

/** @param {string} s */
export function isName(s) {
  return whole.test(s) && /[^\p{Z}\p{M}\p{C}]/u.test(s) && !/^ | $| {2}/.test(s) && s === s.normalize('NFC') && fits(s);
}

/** The valid name closest to the typed one, or ''. @param {string} typed */
export function fittingName(typed) {
  let name = '';
  for (const { segment } of new Intl.Segmenter().segment(tidy(typed))) {
    if (!fits(name + segment)) break;
    name += segment;
  }
  name = tidy(name); // the cut may leave an invalid part
  return isName(name) ? name : '';
}

/** @param {string} s */
function tidy(s) {
  return (s.replace(/\p{White_Space}/gu, ' ').match(parts) ?? []).join('').normalize('NFC').replace(/ +/g, ' ').trim();
}
