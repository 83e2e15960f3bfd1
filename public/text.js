// The look of a text: code, emphasis, quotes, links and folding. Nodes are built in
// linear time, so nothing in a text can become markup or freeze the page.

import { find, make } from './dom.js';
import { styled } from './styles.js';
import { say } from './words.js';

const MOST = 200; // elements in one text

const onlyEmoji = /^(?:\p{RGI_Emoji}\s*){1,8}$/v;

// in these scripts, particles and the like follow a word without a space
const unspaced = '[\\p{sc=Hangul}\\p{sc=Han}\\p{sc=Hira}\\p{sc=Kana}\\p{sc=Thai}]';
const word = `[[\\p{L}\\p{M}\\p{N}]--${unspaced}]`;

// Code, marks, line ends, and links. A host may have any letters; in a path,
// unspaced ones only follow a separator.
const token = new RegExp(String.raw`(?<!\x60)(\x60{1,3})(?!\x60)(.+?)(?<!\x60)\1(?!\x60)|((?<!\*)\*{1,3}(?![*\ufe0f])|(?<!~)~~(?!~))|\n|\b(?:(https?:\/\/)|(?<![@.\/\-])www\.)(?:[\w\-.:@%\[\]。．｡·・]|[^\p{ASCII}\p{Z}\p{P}])+(?:[\/?#](?:[\w\-.~:\/?#\[\]@!$\&'\(\)*+,;=%${word}]|(?<=[\/=\-_+\&#])[\p{L}\p{M}\p{N}]+)*)?`, 'giv');
const glued = new RegExp(`[${unspaced}\\p{Cf}\ufe0f[\\p{Extended_Pictographic}--[™ℹⓂ㊗㊙\u{1f201}-\u{1f251}]]]`, 'v'); // but browsers take some for letters

// products, pointers and file names are no emphasis
const notAfter = new RegExp(`[${word}\\/\\\\.\\)]`, 'v');
const notBefore = new RegExp(`^(?:[${word}\\/\\\\]|\\.\\w)`, 'v');

await styled('text.css');

let left = 0; // elements that may be made

/** Nonces or ids of messages. */
const unfolded = new Set();

/** @param {HTMLElement} body @param {string} text @param {string} key of its message */
export function dress(body, text, key) {
  left = MOST;
  body.classList.toggle('emoji', onlyEmoji.test(text.trim()));
  body.replaceChildren(...blocks(text).filter(Boolean));
  for (const code of body.querySelectorAll('pre')) {
    new ResizeObserver(() => code.tabIndex = code.scrollWidth > code.clientWidth ? 0 : -1).observe(code);
  }
  if (/^[^]{120}|(?:\n.*){20}/.test(text)) fold(body, key);
}

/** Shows twenty lines. @param {HTMLElement} body @param {string} key */
function fold(body, key) {
  const button = make('button', { type: 'button', class: 'quiet fold', value: key, onclick: () => toggle(0) });
  const show = () => {
    const isOpen = unfolded.has(key);
    body.classList.toggle('folded', !isOpen);
    button.textContent = say(isOpen ? 'fold' : 'unfold');
    button.ariaExpanded = String(isOpen);
  };
  /** @param {number} by how far the text has scrolled */
  const toggle = (by) => {
    const scroller = find('scroller');
    const { scrollTop } = scroller;
    const { offsetHeight } = body;
    if (!unfolded.delete(key)) unfolded.add(key);
    show();
    scroller.scrollTop = scrollTop + (by || Math.min(0, body.offsetHeight - offsetHeight));
    scroller.dispatchEvent(new Event('scroll'));
  };
  // to the focus, or to what was searched for
  body.onscroll = () => body.scrollTop && toggle(body.scrollTop);
  body.after(button);
  show();
  // a change of the message makes a new button
  if (/** @type {any} */ (document.activeElement)?.value === key) queueMicrotask(() => button.focus({ preventScroll: true }));
  new ResizeObserver(() => body.classList.toggle('over', body.scrollHeight > body.clientHeight + 1)).observe(body);
}

/** @param {string} text @param {boolean} [isQuote] */
function blocks(text, isQuote) {
  /** @type {(Node|string)[]} */
  const nodes = [];
  const lines = text.split(/(?<=\n)/);
  const unclosed = new Set();
  let plain = '';
  for (let i = 0, next = 1; i < lines.length; i = next++) {
    let block;
    const [, fence, info] = /^\s*(`{3,})([^`]*)$/.exec(lines[i]) ?? [];
    if (fence && !unclosed.has(fence)) {
      let end = next;
      while (end < lines.length && lines[end].trim() !== fence) end++;
      if (end === lines.length) {
        unclosed.add(fence);
      } else {
        block = make('pre', {}, /\S\s+\S/.test(info) ? info : '', ...lines.slice(next, end)); // without a language
        next = end + 1;
      }
    } else if (!isQuote && /^> +\S/.test(lines[i])) {
      while (/^>(?: |\s*$)/.test(lines[next])) next++;
      block = make('blockquote', {}, ...blocks(lines.slice(i, next).map((line) => line.replace(/^> ?/, '')).join(''), true));
    }
    if (block?.textContent && left-- > 0) {
      nodes.push(...inline(plain), block);
      plain = '';
    } else {
      plain += lines.slice(i, next).join('');
    }
  }
  return [...nodes, ...inline(plain)];
}

/** @param {string} text */
function inline(text) {
  /** @type {{begin: number, end: number, node: Node}[]} */
  const found = [];
  /** Where emphasis may begin, after `count` elements. @type {Map<string, {begin: number, count: number}>} */
  const open = new Map();
  /** @param {number} from @param {number} to @param {number} count */
  const nodes = (from, to, count) => {
    /** @type {(Node|string)[]} */
    const all = [];
    for (const { begin, end, node } of found.splice(count)) {
      all.push(text.slice(from, begin), node);
      from = end;
    }
    return [...all, text.slice(from, to)];
  };
  token.lastIndex = 0;
  for (let match; left > 0 && (match = token.exec(text));) {
    const [all, ticks, code, mark, scheme = ''] = match;
    let begin = match.index;
    let end = token.lastIndex;
    let node;
    if (ticks) {
      node = make('code', {}, code.trim() || code);
    } else if (mark) {
      const before = text[begin - 1] ?? ' ';
      const start = open.get(mark);
      if (start && !/[\s,\(\[\{]/.test(before) && !notBefore.test(text.slice(end, end + 2))) {
        const inner = nodes(start.begin + mark.length, begin, start.count);
        node = make(mark === '~~' ? 'del' : mark[1] ? 'strong' : 'em', {}, ...mark[2] ? [make('em', {}, ...inner)] : inner);
        begin = start.begin;
        for (const [other, at] of open) if (at.begin >= begin) open.delete(other);
      // in Korean, `~~` is a long vowel
      } else if (!/[\s,;:\)\]\}]/.test(text[end] ?? ' ') && !(mark === '~~' ? /[\p{L}\p{N}]/v : notAfter).test(before)) {
        open.set(mark, { begin, count: found.length });
      }
    } else if (all === '\n') {
      open.clear();
    } else {
      node = linkTo(all.slice(scheme.length), scheme);
      if (node) end = begin + node.text.length;
    }
    if (!node) continue;
    found.push({ begin, end, node });
    token.lastIndex = end;
    left--;
  }
  return nodes(0, text.length, 0);
}

/** @param {string} place may be longer than that of the link @param {string} scheme */
function linkTo(place, scheme) {
  // the punctuation of the sentence
  let end = place.length;
  let surplus = place.split(/[\)\]]/).length - place.split(/[\(\[]/).length;
  while (/[\)\]]/.test(place[end - 1]) ? surplus-- > 0 : /[.,!?;:'"*~。．｡·・]/.test(place[end - 1])) end--;
  place = place.slice(0, end);
  if (!/[\/?#]/.test(place)) { // text may be attached to the host
    const chars = [...place];
    while (glued.test(chars[chars.length - 1])) chars.pop();
    if (/[\w\]]$/.test(chars.join(''))) place = chars.join('');
  }
  const href = (scheme || 'https://') + place;
  // a link with a user in it hides where it leads
  if (!URL.canParse(href) || /^[^\/?#]*@/.test(place) || !scheme && !/^.{4}[^\/?#]+\../.test(place)) return null;
  return make('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, scheme + place);
}
