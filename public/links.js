// The links in a text, found in linear time.

import { make } from './dom.js';

// A host may have non-ASCII letters anywhere. In a path, they may only follow a
// separator; others are attached to the address, like Korean particles.
const form = /\bhttps?:\/\/(?:[\w\-.:@%\[\]。．｡·・]|[^\p{ASCII}\p{Z}\p{P}])+(?:[\/?#](?:[\w\-.~:\/?#\[\]@!$\&'\(\)*+,;=%]|(?<=[\/=\-_+\&#])[[\p{L}\p{M}\p{N}]--\p{ASCII}]+)*)?/gv;

/** Links in one text; only someone who wants to freeze the page sends more. */
const MOST = 100;

/** Whether it is text attached to a host, not part of it. @param {string} char */
const isGlued = (char) => /[\p{sc=Hangul}\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{Cf}\ufe0f]/v.test(char)
  || /\p{Extended_Pictographic}/v.test(char) && char.normalize('NFKC') === char; // otherwise browsers take it for a letter

/**
 * Builds nodes, so nothing in a text can become markup.
 * @param {string} text
 * @returns {(Node|string)[]}
 */
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const { index, 0: all } of text.matchAll(form)) {
    const url = unglued(trimmed(all));
    // a link with a user in it hides where it leads
    if (!URL.canParse(url) || /^\w+:\/\/[^\/?#]*@/.test(url)) continue;
    nodes.push(text.slice(end, index), make('a', { href: url, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, url));
    end = index + url.length;
    if (nodes.length === 2 * MOST) break;
  }
  nodes.push(text.slice(end));
  return nodes;
}

/** Removes the punctuation of the sentence. @param {string} url */
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
