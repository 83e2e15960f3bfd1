// The addresses in a text. Finding them costs no more than the text is long.

import { make } from './dom.js';

// A host may have letters beyond ASCII anywhere. In a path they begin after what
// separates words there; others are glued to the address, as Korean particles are.
const form = /\bhttps?:\/\/(?:[\w\-.:@%\[\]。．｡·・]|[^\p{ASCII}\p{Z}\p{P}])+(?:[\/?#](?:[\w\-.~:\/?#\[\]@!$\&'\(\)*+,;=%]|(?<=[\/=\-_+\&#])[[\p{L}\p{M}\p{N}]--\p{ASCII}]+)*)?/gv;

/** Links in one text; of more, nobody makes use but who wants to freeze a page. */
const MOST = 100;

/** What is written behind a host without a space. @param {string} char */
const isGlued = (char) => /[\p{sc=Hangul}\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{Cf}\ufe0f]/v.test(char)
  || /\p{Extended_Pictographic}/v.test(char) && char.normalize('NFKC') === char; // else it is a letter to a browser

/**
 * Built of nodes, so that nothing in a text can become markup.
 * @param {string} text
 * @returns {(Node|string)[]}
 */
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const { index, 0: all } of text.matchAll(form)) {
    const url = unglued(trimmed(all));
    // one with a user in it looks as if it went elsewhere
    if (!URL.canParse(url) || /^\w+:\/\/[^\/?#]*@/.test(url)) continue;
    nodes.push(text.slice(end, index), make('a', { href: url, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, url));
    end = index + url.length;
    if (nodes.length === 2 * MOST) break;
  }
  nodes.push(text.slice(end));
  return nodes;
}

/** Without the punctuation of the sentence. @param {string} url */
function trimmed(url) {
  let end = url.length;
  /** @type {Record<string, number>} */
  const surplus = { ')': 0, ']': 0 };
  for (const char of url) {
    if (char in surplus) surplus[char]++;
    if (char === '(') surplus[')']--;
    if (char === '[') surplus[']']--;
  }
  for (; ; end--) {
    const last = url[end - 1];
    if (last in surplus ? surplus[last]-- <= 0 : !'.,!?;:\'"*。．｡·・'.includes(last)) return url.slice(0, end);
  }
}

/** @param {string} url */
function unglued(url) {
  if (/^\w+:\/\/[^\/?#]*[\/?#]/.test(url)) return url;
  const chars = [...url];
  let end = chars.length;
  while (isGlued(chars[end - 1])) end--;
  return /[\w\]]/.test(chars[end - 1]) ? chars.slice(0, end).join('') : url;
}
