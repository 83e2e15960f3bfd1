// Chats that share a stream as tabs do, in one process of Node, with locks that the test
// controls. Runs one of the scenarios below at a server.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Chat } from '../public/sse-chat.js';

const [scenario, url] = process.argv.slice(2);

// Web Locks, of which there is one here
const queue = [];
let holder;
function grant() {
  holder = queue.shift();
  holder?.callback().then(holder.resolve).finally(grant);
}
const locks = {
  request: (name, { signal }, callback) => new Promise((resolve, reject) => {
    const wish = { callback, resolve };
    signal?.addEventListener('abort', () => {
      if (!queue.includes(wish)) return;
      queue.splice(queue.indexOf(wish), 1);
      reject(signal.reason);
    });
    queue.push(wish);
    if (!holder) grant();
  }),
};
Object.defineProperty(globalThis, 'navigator', { value: { locks } });

// what is told, but not while it is kept back
let isKept = (told) => false;
const kept = [];
globalThis.BroadcastChannel = class extends BroadcastChannel {
  postMessage(told) {
    if (isKept(told)) kept.push(() => super.postMessage(told));
    else super.postMessage(told);
  }
};

// streams, and what takes their place
let asked = 0;
let inPlace = (address) => undefined;
const { fetch } = globalThis;
globalThis.fetch = async (address, init) => {
  if (address.includes('/subscribe?')) asked++;
  return inPlace(address) ?? fetch(address, init);
};

const chats = [];
function tab(rooms, options) {
  const chat = new Chat({ url: `${url}/`, rooms, shareTabs: true, ...options });
  const events = [];
  for (const type of ['message', 'change', 'delete', 'signal', 'presence', 'statechange']) {
    chat.addEventListener(type, ({ data }) => events.push({ type, data }));
  }
  const all = (type) => events.filter((event) => event.type === type).map(({ data }) => data);
  chats.push(chat);
  return { chat, all, texts: () => all('message').map(({ text }) => text) };
}

async function say(room, text) {
  const answer = await fetch(`${url}/update?room=${room}`, { method: 'POST', body: JSON.stringify({ text }) });
  assert.equal(answer.status, 200);
  return answer.json();
}

async function until(what, is) {
  for (let i = 0; !is(); i++) {
    assert.ok(i < 500, `it never happens that ${what}`);
    await sleep(20);
  }
}
const live = (one) => until('it is live', () => one.chat.state === 'live');
const has = (one, ...texts) => until(`it has ${texts}, not ${one.texts()}`, () => one.texts().join() === texts.join());

const scenarios = {
  async rooms() {
    inPlace = (address) => (address.includes('room=secret') ? new Response('no', { status: 403 }) : undefined);
    const tea = tab(['tea']);
    await live(tea);
    const coffee = tab(['coffee', 'secret']);
    await live(coffee);
    await until('a room refuses', () => coffee.chat.refused.has('secret'));
    const { id } = await say('coffee', 'black');
    await say('tea', 'green');
    await fetch(`${url}/update?room=coffee&id=${id}`, { method: 'PATCH', body: '{"react":"x"}' });
    await fetch(`${url}/update?room=coffee`, { method: 'POST', body: '{"signal":"typing"}' });
    await until('it gets the signal', () => coffee.all('signal').length === 1);
    await say('tea', 'oolong');
    await has(tea, 'green', 'oolong');
    await has(coffee, 'black');
    assert.deepEqual(tea.chat.messages.map(({ text }) => text), ['green', 'oolong']);
    assert.deepEqual(coffee.chat.messages.map(({ text }) => text), ['black']);
    await until('both know who is there', () => tea.chat.presence.size && coffee.chat.presence.size);
    assert.deepEqual([...tea.chat.presence.keys()], ['tea']);
    assert.deepEqual([...coffee.chat.presence.keys()], ['coffee']);
    assert.equal(tea.chat.refused.size, 0);
    assert.deepEqual([...tea.all('signal'), ...tea.all('change')], []);
    // the cursor moves nevertheless
    await until('their cursors are the same', () => tea.chat.cursor === coffee.chat.cursor);
  },

  // the new leader reads its own rooms before it knows those of the others
  async change() {
    const [first, coffee, tea] = [tab(['tea']), tab(['coffee']), tab(['tea'])];
    await Promise.all([first, coffee, tea].map(live));
    await say('tea', 'before');
    await has(tea, 'before');
    isKept = ({ kind }) => kind === 'join';
    first.chat.close();
    await say('tea', 'missed');
    await say('coffee', 'later');
    await has(coffee, 'later');
    await sleep(100);
    isKept = () => false;
    for (const tell of kept) tell();
    await has(tea, 'before', 'missed');
    await say('tea', 'after');
    await has(tea, 'before', 'missed', 'after');
    await has(coffee, 'later');
    await say('coffee', 'latest');
    await has(coffee, 'later', 'latest');
  },

  async last() {
    await say('tea', 'old');
    const coffee = tab(['coffee']);
    await live(coffee);
    const tea = tab(['tea'], { last: 20 });
    await live(tea);
    await has(tea, 'old');
    const none = tab(['tea', 'milk']);
    await live(none);
    await say('tea', 'new');
    await has(tea, 'old', 'new');
    await has(none, 'new');
    await has(coffee);
  },

  // a stream has 100 rooms at most
  async many() {
    const named = (kind) => Array.from({ length: 60 }, (_, i) => `${kind}${i}`);
    const [teas, coffees, tea] = [tab(named('tea')), tab(named('coffee')), tab(['tea7'])];
    await Promise.all([teas, coffees, tea].map(live));
    await say('coffee59', 'black');
    await say('tea7', 'green');
    await has(coffees, 'black');
    await has(teas, 'green');
    await has(tea, 'green');
    coffees.chat.subscribe({ rooms: ['coffee1', 'tea7'] });
    await say('tea7', 'oolong');
    await has(coffees, 'black', 'green', 'oolong'); // it asks for what came after the newest that it has
    await has(tea, 'green', 'oolong');
  },

  async early() {
    await say('tea', 'old');
    let open;
    const opened = new Promise((resolve) => { open = resolve; });
    inPlace = () => opened.then(() => Promise.reject(new Error('cut')));
    const [first, second, none] = [tab(['tea'], { last: 1 }), tab(['tea'], { last: 20 }), tab(['tea'])];
    await say('tea', 'older');
    await sleep(300);
    inPlace = () => undefined;
    open();
    await Promise.all([first, second, none].map(live));
    await say('tea', 'new');
    await has(first, 'older', 'new');
    await has(second, 'old', 'older', 'new');
    await has(none, 'new');
  },

  async closing() {
    const [first, second, third] = [tab(['tea']), tab(['tea']), tab(['tea'])];
    await Promise.all([first, second, third].map(live));
    first.chat.close();
    await say('tea', 'hello');
    assert.equal(first.chat.state, 'closed');
    for (const one of [second, third]) {
      await has(one, 'hello');
      assert.ok(!one.all('statechange').includes('closed'), one.all('statechange').join());
    }
  },

  async granting() {
    const tea = tab(['tea']);
    await live(tea);
    const late = tab(['tea']);
    await live(late);
    const [{ callback }] = queue;
    late.chat.close();
    const before = asked;
    callback(); // it was granted at the same time
    await sleep(300);
    assert.equal(asked, before);
  },

  // the test leads
  async holding() {
    await say('tea', 'old');
    let release;
    locks.request('', {}, () => new Promise((resolve) => { release = resolve; }));
    inPlace = () => Promise.reject(new Error('cut'));
    const tea = tab(['tea'], { last: 20 });
    const leader = new BroadcastChannel(`sse-chat ${url}/ stream`);
    await sleep(300);
    const tell = (type, data, id = '') => leader.postMessage({ from: 0, kind: 'event', type, data, id, cursor: id, after: '1', rooms: ['tea'] });
    leader.postMessage({ from: 0, kind: 'state', state: 'live', retryAt: 0, cursor: '1', refused: new Map(), rooms: ['tea'], ping: 15_000, presence: [] });
    for (let i = 0; i < 10_000; i++) tell('signal', { room: 'tea', signal: `s${i}` });
    await sleep(500);
    inPlace = () => undefined;
    tea.chat.retry();
    await has(tea, 'old');
    await until('it gets the last signal', () => tea.all('signal').at(-1)?.signal === 's9999');
    assert.ok(tea.all('signal').length <= 2000, `it has held ${tea.all('signal').length}`);
    leader.close();
    release();
  },
};

await scenarios[scenario]();
for (const chat of chats) chat.close();
