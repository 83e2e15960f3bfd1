// The chat page: shows a room's messages, sends what is typed, and says how
// the connection is.

const words = {
  en: {
    lobby: 'Lobby', name: 'Name', text: 'Message', send: 'Send', older: 'Earlier messages',
    connecting: 'Connecting…', live: 'Live', lost: 'Connection lost, trying again…',
    gap: 'Some messages may be missing here.', failed: 'Not sent: ',
  },
  ko: {
    lobby: '로비', name: '이름', text: '메시지', send: '보내기', older: '이전 메시지',
    connecting: '연결 중…', live: '연결됨', lost: '연결이 끊겼습니다. 다시 연결하는 중…',
    gap: '이 자리에 빠진 메시지가 있을 수 있습니다.', failed: '보내지 못했습니다: ',
  },
};

const address = new URLSearchParams(location.search);
const room = (address.get('room') || 'lobby').normalize('NFC');
const lang = words[address.get('lang')] ? address.get('lang') : navigator.language.startsWith('ko') ? 'ko' : 'en';
const say = words[lang];

const element = (id) => document.getElementById(id);
const list = element('messages');
const scroller = element('scroller');
const nameField = element('name');
const textField = element('text');
const older = element('older');

document.documentElement.lang = lang;
element('room').textContent = document.title = room === 'lobby' ? say.lobby : room;
element('send').textContent = say.send;
older.textContent = say.older;
for (const [field, label] of [[nameField, say.name], [textField, say.text]]) {
  field.placeholder = label;
  field.setAttribute('aria-label', label);
}
nameField.value = localStorage.getItem('name') ?? '';
nameField.addEventListener('change', () => localStorage.setItem('name', nameField.value.trim()));

// ——— messages ———

const rows = new Map(); // by id, and by nonce while they are on their way
const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'medium' });
const mine = new Set(JSON.parse(sessionStorage.getItem('mine') ?? '[]'));

function row(message) {
  const item = document.createElement('li');
  const meta = document.createElement('span');
  const author = document.createElement('bdi');
  const time = document.createElement('time');
  const text = document.createElement('span');
  const at = new Date(message.timestamp);
  meta.className = 'meta';
  author.textContent = message.name ?? '';
  time.dateTime = at.toISOString();
  time.title = day.format(at);
  time.textContent = clock.format(at);
  text.dir = 'auto';
  text.textContent = message.text;
  meta.append(author, author.textContent ? ' · ' : '', time);
  item.append(meta, text);
  item.classList.toggle('own', mine.has(message.nonce));
  return item;
}

/** Adds what must not be seen twice, and stays at the end if that is in view. */
function show(message) {
  if (rows.has(message.id)) return;
  const item = row(message);
  rows.set(message.id, item);
  rows.get(message.nonce)?.remove();
  rows.delete(message.nonce);
  append(item);
}

function append(item) {
  const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 100;
  list.append(item);
  if (atEnd) scroller.scrollTop = scroller.scrollHeight;
}

function showGap() {
  const item = document.createElement('li');
  item.className = 'gap';
  item.textContent = say.gap;
  append(item);
}

let oldest = '';

older.addEventListener('click', async () => {
  const answer = await fetch(`/history?${new URLSearchParams({ room, before: oldest })}`);
  const { messages, more } = await answer.json();
  const height = scroller.scrollHeight;
  const fresh = messages.filter((message) => !rows.has(message.id));
  list.prepend(...fresh.map((message) => {
    const item = row(message);
    rows.set(message.id, item);
    return item;
  }));
  oldest = messages[0]?.id ?? oldest;
  older.hidden = !more;
  scroller.scrollTop += scroller.scrollHeight - height;
});

// ——— connection ———

let cursor = ''; // the newest message seen
let delay = 1000; // before the next attempt, when the browser gives up

function setState(state) {
  element('state').dataset.state = state;
  element('state').textContent = say[state];
}

function connect() {
  const query = new URLSearchParams({ room, events: '1' });
  if (cursor) query.set('last_event_id', cursor);
  else query.set('last', '50');
  const source = new EventSource(`/subscribe?${query}`);
  source.onopen = () => {
    delay = 1000;
  };
  source.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    cursor = message.id;
    oldest ||= message.id;
    show(message);
  };
  source.addEventListener('hello', ({ data }) => {
    const { oldest: first } = JSON.parse(data);
    older.hidden = !first || (oldest !== '' && first === oldest);
  });
  source.addEventListener('live', ({ data }) => {
    cursor ||= JSON.parse(data).latest;
    scroller.setAttribute('aria-busy', 'false');
    setState('live');
  });
  source.addEventListener('gap', showGap);
  source.addEventListener('delete', ({ data }) => rows.get(JSON.parse(data).id)?.remove());
  source.onerror = () => {
    setState('lost');
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
    setTimeout(connect, delay * (0.5 + Math.random() / 2));
    delay = Math.min(delay * 2, 30000);
  };
}

setState('connecting');
connect();

// ——— sending ———

function newNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function send(message, item) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
    let answer;
    try {
      answer = await fetch(`/update?${new URLSearchParams({ room })}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(message),
      });
    } catch { /* no connection: the same nonce again is no second message */ }
    if (answer?.ok) {
      show(await answer.json());
      return;
    }
    if (answer && answer.status < 500 && answer.status !== 429) {
      const { error } = await answer.json().catch(() => ({ error: answer.statusText }));
      item.classList.replace('pending', 'failed');
      item.append(document.createElement('br'), say.failed + error);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

element('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = textField.value;
  if (!text.trim()) return;
  const message = { text, name: nameField.value.trim(), nonce: newNonce() };
  mine.add(message.nonce);
  sessionStorage.setItem('mine', JSON.stringify([...mine]));
  const item = row({ ...message, timestamp: Date.now() });
  item.classList.add('pending');
  rows.set(message.nonce, item);
  append(item);
  scroller.scrollTop = scroller.scrollHeight;
  send(message, item);
  textField.value = '';
  textField.focus();
});

textField.addEventListener('keydown', (event) => {
  // an Enter that ends a composition, as in Korean, is not for us; nor is one
  // on a touch keyboard, which has no other way to begin a line
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  if (matchMedia('(pointer: coarse)').matches) return;
  event.preventDefault();
  element('composer').requestSubmit();
});
