// What only some messages need: code, emphasis, quotes, links and folding, what a message
// answers, "edited", reactions, mentions, changes, and jumps to it. Texts become nodes in
// linear time, so they can neither become markup nor freeze the page.

import { authors, bubble, button, chat, fetchPage, find, isMine, make, me, momentOf, names, nameTag, say, styled, timeOf } from './page.js';
import { visited } from './rooms.js';
import { compareIds, LOBBY } from './sse-chat.js';

const MOST = 200; // elements in one text
const LONGEST_QUOTE = 200;

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

await styled();

let left = 0; // elements that may be made

/** Nonces or ids of messages. */
const unfolded = new Set();

/** @param {HTMLElement} body of an article @param {string} text @param {Message} message */
export function dress(body, text, message) {
  const { id, nonce, room } = message;
  annotate(body, message);
  left = MOST;
  body.classList.toggle('emoji', onlyEmoji.test(text.trim()));
  body.replaceChildren(...blocks(text).filter(Boolean));
  for (const code of body.querySelectorAll('pre')) {
    new ResizeObserver(() => code.tabIndex = code.scrollWidth > code.clientWidth ? 0 : -1).observe(code);
  }
  if (/^[^]{120}|(?:\n.*){20}/.test(text)) fold(body, nonce || id);
  mark(body, room);
}

/** Shows twenty lines. @param {HTMLElement} body @param {string} key */
function fold(body, key) {
  const more = button('', () => toggle(0), { class: 'quiet fold', value: key });
  const show = () => {
    const isOpen = unfolded.has(key);
    body.classList.toggle('folded', !isOpen);
    more.textContent = say(isOpen ? 'fold' : 'unfold');
    more.ariaExpanded = String(isOpen);
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
  body.after(more);
  show();
  // a change of the message makes a new button
  if (/** @type {any} */ (document.activeElement)?.value === key) queueMicrotask(() => more.focus({ preventScroll: true }));
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

/** @param {HTMLElement} body @param {Message} message */
function annotate(body, { reply_to: to, edited, reactions = {}, room = LOBBY }) {
  if (to) body.before(quote(to, room));
  const chips = Object.entries(reactions).map(([emoji, { count, by }]) => chip(emoji, count, by, room));
  if (chips.length) body.after(make('div', { class: 'reactions' }, ...chips));
  if (edited) body.after(make('small', { class: 'edited', title: momentOf(new Date(edited)) }, `${say('edited')} ${timeOf(new Date(edited))}`));
}

/** @param {string} emoji @param {number} count @param {string[]} by @param {string} room */
function chip(emoji, count, by, room) {
  const my = me(room);
  // author tags, unless the server names its readers
  const who = by.map((one) => (one === my ? say('you') : authors.get(one) || (chat.you?.name ? one : say('nameless'))));
  if (count > by.length) who.push(say('others', count - by.length));
  const title = `${emoji} ${count}: ${who.join(', ')}`;
  return button(`${emoji} ${count}`, null, { class: 'reaction', title, 'aria-label': title, 'aria-pressed': String(by.includes(my)), 'data-emoji': emoji });
}

/** @param {string} id @param {string} room */
function quote(id, room) {
  const link = button('…', null, { class: 'quote', 'data-to': id });
  // rows of the same batch are in the page by then
  setTimeout(async () => {
    const row = document.querySelector(`#messages > [data-id="${id}"]`);
    const name = row?.querySelector('.name')?.cloneNode(true);
    const text = row?.querySelector('.text')?.textContent;
    if (name) link.replaceChildren(name, ' ', make('bdi', {}, (text ?? '').slice(0, LONGEST_QUOTE)));
    else link.replaceChildren(...await fetchQuote(id, room));
  });
  return link;
}

/** A quoted message has changed or is gone. @param {string} id */
function requote(id, room = LOBBY) {
  fetched.delete(id);
  for (const link of document.querySelectorAll(`.quote[data-to="${id}"]`)) link.replaceWith(quote(id, room));
}

/** @type {Map<string, Promise<Page|null>>} */
const fetched = new Map();

/** @param {string} id @param {string} room */
async function fetchQuote(id, room) {
  const asked = fetched.get(id) ?? fetchPage(room, { after: justBefore(id), limit: 1 });
  fetched.set(id, asked);
  const page = await asked;
  if (!page) fetched.delete(id); // the server is away
  const message = page?.messages.find((message) => message.id === id);
  if (!message) return [page ? say('lost') : '…'];
  const { name = '', text = '' } = message;
  return [nameTag(name, isMine(message) ? say('you') : undefined), ' ', make('bdi', {}, text.slice(0, LONGEST_QUOTE))];
}

// Korean particles may follow a name without a space, as in @김철수님에게. With other
// letters it is a longer name, such as @김철수민.
const nameEnd = /^(?:[님씨들께이가은는을를의에와과랑도만야아여로]|께서|에서|에게|한테|하고|으로|부터|까지){0,4}(?![\p{L}\p{M}\p{N}_]|[\-.@][\p{L}\p{N}])/u;

const myName = (room = LOBBY) => names.get(room) || chat.you?.name || chat.name;

/** Who is there, or has written what is shown. */
export const others = (room = LOBBY) => [...new Set([...chat.presence.get(room)?.names ?? [],
  ...[...document.querySelectorAll('article .name:not(.nameless)')].map((tag) => tag.textContent ?? '')])].filter((name) => name !== myName(room));

/** Unread messages that may mention somebody. @type {Map<string, {message: Message, name?: string, isMention?: boolean}>} */
const noted = new Map();

/** @param {any[]} messages */
export function note(messages) {
  for (const message of messages) {
    if (message.id && message.text?.includes('@')) noted.set(message.id, { message });
  }
}

/** @param {Message} message */
export const isMention = ({ room, text }) => bubble({ id: '', timestamp: 0, room, text }, false).querySelector('mark') !== null;

/** @param {Element} body @param {string} [room] */
export function mark(body, room) {
  if (!body.textContent?.includes('@')) return;
  const my = myName(room).toLowerCase();
  // the longest first
  const known = [my, ...others(room).map((name) => name.toLowerCase())].filter(Boolean).sort((a, b) => b.length - a.length);
  /** @param {string} text @param {number} i */
  const marked = (text, i) => {
    const name = i && known.find((name) => text.toLowerCase().startsWith(name) && nameEnd.test(text.slice(name.length)));
    return name ? [make(name === my ? 'mark' : 'b', {}, `@${text.slice(0, name.length)}`), text.slice(name.length)] : (i ? '@' : '') + text;
  };
  /** @param {ParentNode} parent */
  const walk = ({ childNodes }) => [...childNodes].forEach((node) => {
    if (node instanceof Text) node.replaceWith(...node.data.split(/(?<![\w.+\-])@/).flatMap(marked));
    else if (node instanceof Element && !node.matches('a, code, pre')) walk(node);
  });
  walk(body);
}

/** In a room, or in all. @param {string} [only] */
export function unread(only) {
  const read = new Map(visited());
  let count = 0;
  for (const [id, entry] of noted) {
    const { message } = entry;
    const { room = LOBBY } = message;
    const name = myName(room);
    if (entry.name !== name) Object.assign(entry, { name, isMention: isMention(message) });
    if (compareIds(id, read.get(room) ?? id) <= 0) noted.delete(id);
    else if (room === (only ?? room) && entry.isMention && !isMine(message)) count++;
  }
  return count ? `@${count} · ` : '';
}

/** Rows that are fetched again. @type {Set<string>} */
const again = new Set();

/** @type {ApplyArrivals} */
export function apply(rows, arrivals, applyChange, fetchAgain) {
  for (const { type, data } of arrivals) {
    const { id, through } = data;
    const found = rows.where((other) => (id ? other === id : compareIds(other, through) <= 0));
    if (id) requote(id, data.room);
    if (type === 'delete') rows.drop(found);
    if (type !== 'change') continue;
    for (const row of found) {
      const message = applyChange(row.message, data);
      if (message) {
        row.renew(message);
      } else if (!again.has(id)) {
        again.add(id);
        fetchAgain(id).finally(() => again.delete(id));
      }
    }
  }
}

/** @type {FetchRange} */
export async function fetchRange(room, from, to, keeps) {
  /** @type {Message[]} */
  const messages = [];
  if (!to) return null;
  const limit = from === to ? 5 : 200;
  let after = justBefore(from);
  for (let more = true; more && compareIds(after, to) < 0;) {
    const page = await fetchPage(room, { after, limit });
    if (!page) return null;
    messages.push(...page.messages);
    after = page.messages.at(-1)?.id ?? to;
    more = page.more;
  }
  const older = keeps ? await fetchPage(room, { before: from, limit: 1 }) : null;
  if (keeps && !older) return null;
  const begin = keeps && !older?.messages.length ? messages[0]?.id : from;
  /** @param {string} id */
  const covers = (id) => compareIds(id, from) >= 0 && compareIds(id, to) <= 0;
  const ids = new Set(messages.map(({ id }) => id));
  return (rows, add) => {
    const gone = rows.where((id) => Boolean(begin) && covers(id) && compareIds(id, begin) >= 0 && !ids.has(id));
    for (const row of gone) rows.drop([row]);
    messages.filter(({ id }) => covers(id)).forEach(add);
  };
}

/** An id after which a message is the first one. @param {string} id */
function justBefore(id) {
  const [ms, n = 0] = id.split('-').map(Number);
  return n ? `${ms}-${n - 1}` : `${ms - 1}-${Number.MAX_SAFE_INTEGER}`;
}

let wanted = { id: '', room: '' }; // the last jump
/** @type {Promise<boolean|undefined>} */
let jump = Promise.resolve(undefined);

/** @type {GoTo} */
export function goTo(timeline, id) {
  const { room } = timeline;
  const mine = wanted = { id, room };
  const isWanted = () => mine === wanted && room === timeline.room;
  return jump = jump.then(async () => {
    if (isWanted() && !timeline.get(id)) {
      const page = await fetchPage(room, { after: justBefore(id), limit: 1 });
      if (!page || !isWanted()) return undefined;
      if (page.messages[0]?.id !== id) return false;
      await timeline.around(justBefore(id));
    }
    const row = isWanted() && timeline.get(id);
    if (!row) return undefined;
    point(row.item);
    timeline.looked();
    return true;
  });
}

/** @param {HTMLElement} item */
function point(item) {
  const scroller = find('scroller');
  document.querySelector('#messages .marked')?.classList.remove('marked');
  item.classList.add('marked');
  const [inner, outer] = [item.getBoundingClientRect(), scroller.getBoundingClientRect()];
  scroller.scrollTop += inner.top - outer.top - Math.max(0, outer.height - inner.height) / 2;
  item.tabIndex = -1;
  item.focus({ preventScroll: true });
}
