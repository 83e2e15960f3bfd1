// What the page says, in Korean and English.

import { serverTime } from './clock.js';

const words = {
  en: {
    lobby: 'Lobby', rooms: 'Rooms', people: 'People', menu: 'Rooms and people', close: 'Close',
    newRoom: 'Go to a room', newRoomHint: 'Name of a room', go: 'Go', leave: 'Remove {0} from the list',
    badRoom: '“{0}” cannot name a room: only letters, digits, _ - and . are allowed, 64 at most.',
    yourName: 'Your name', nameless: 'someone', you: 'you',
    message: 'Message', messages: 'Messages', send: 'Send', left: '{0} left', over: '{0} too many',
    older: 'Earlier messages', loading: 'Loading…', beginning: 'Nothing earlier is kept.', empty: 'Nothing here yet. Say hello!',
    today: 'Today', yesterday: 'Yesterday', fresh: 'New', toFresh: 'Jump to the first new message',
    more_one: '{0} new message', more_other: '{0} new messages', toEnd: 'To the newest message',
    gap: 'Some messages may be missing here.',
    sending: 'sending', failed: 'not sent', retry: 'Try again', discard: 'Discard',
    connecting: 'Connecting…', live: 'Connected', waiting: 'Reconnecting…', offline: 'You are offline. What you write is sent when you are back.',
    inSeconds: 'in {0} s', lastMessage: 'last message {0}', retryNow: 'Retry now',
    absent: 'There is no chat at this address: nothing answers to “subscribe”.',
    refused: 'The server does not let you in. Reload the page to log in.', removed: 'You were removed from this chat.',
    tooLong: 'the server takes no text as long as this', notAllowed: 'you may not write here',
    unsure: 'it is not known whether the server has it',
    askName: 'What may others call you?', save: 'Save', notNow: 'Not now',
    here_one: '{0} here', here_other: '{0} here', unnamed_one: '{0} without a name', unnamed_other: '{0} without a name',
    unread_one: '{0} unread', unread_other: '{0} unread', notices: 'When you look elsewhere',
    notify: 'Notifications', sound: 'Sound', blocked: 'This browser has blocked notifications.',
  },
  ko: {
    lobby: '로비', rooms: '대화방', people: '참여자', menu: '대화방과 참여자', close: '닫기',
    newRoom: '대화방으로 가기', newRoomHint: '대화방 이름', go: '가기', leave: '목록에서 {0} 지우기',
    badRoom: '“{0}”은(는) 대화방 이름이 될 수 없습니다. 글자, 숫자, _ - . 만 64자까지 쓸 수 있습니다.',
    yourName: '내 이름', nameless: '이름 없음', you: '나',
    message: '메시지', messages: '메시지 목록', send: '보내기', left: '{0}바이트 남음', over: '{0}바이트 초과',
    older: '이전 메시지', loading: '불러오는 중…', beginning: '이전 메시지는 보관되어 있지 않습니다.', empty: '아직 아무 말이 없습니다. 먼저 인사해 보세요!',
    today: '오늘', yesterday: '어제', fresh: '새 메시지', toFresh: '안 읽은 첫 메시지로',
    more_other: '새 메시지 {0}개', toEnd: '최신 메시지로',
    gap: '이 자리에 빠진 메시지가 있을 수 있습니다.',
    sending: '보내는 중', failed: '보내지 못함', retry: '다시 보내기', discard: '버리기',
    connecting: '연결 중…', live: '연결됨', waiting: '다시 연결하는 중…', offline: '오프라인입니다. 쓴 글은 다시 연결되면 보냅니다.',
    inSeconds: '{0}초 뒤', lastMessage: '마지막 메시지 {0}', retryNow: '지금 연결',
    absent: '이 주소에는 채팅이 없습니다. “subscribe”가 응답하지 않습니다.',
    refused: '서버가 접속을 허락하지 않습니다. 새로고침하여 로그인하세요.', removed: '이 대화에서 내보내졌습니다.',
    tooLong: '서버가 받기에는 글이 너무 깁니다', notAllowed: '여기에는 쓸 수 없습니다',
    unsure: '서버에 도착했는지 알 수 없습니다',
    askName: '어떻게 불러 드릴까요?', save: '저장', notNow: '나중에',
    here_other: '{0}명 있음', unnamed_other: '이름 없는 {0}명',
    unread_other: '안 읽음 {0}', notices: '다른 곳을 볼 때',
    notify: '알림', sound: '소리', blocked: '이 브라우저에서 알림이 차단되어 있습니다.',
  },
};

/** @typedef {keyof typeof words.en} Word */

const asked = new URLSearchParams(location.search).get('lang');

/** @type {'en'|'ko'} */
export const lang = asked === 'ko' || asked === 'en' ? asked
  : navigator.languages.find((l) => /^(ko|en)\b/.test(l))?.startsWith('ko') ? 'ko' : 'en';

const plural = new Intl.PluralRules(lang);

/**
 * @param {string} word
 * @param {...(string|number)} values
 */
export function say(word, ...values) {
  const text = /** @type {Record<string, string>} */ (words[lang])[word] ?? word;
  return text.replace(/\{(\d)\}/g, (_, i) => String(values[Number(i)]));
}

/**
 * Says how many there are of something.
 * @param {string} word
 * @param {number} count
 */
export function sayCount(word, count) {
  return say(`${word}_${plural.select(count)}`, count.toLocaleString(lang));
}

/**
 * Why the server has not taken a message.
 * @param {number} status
 * @param {unknown} [error] in the server's words
 */
export function reason(status, error) {
  if (status === 413) return say('tooLong');
  if (status === 401 || status === 403) return say('notAllowed');
  return String(error ?? status);
}

const formats = {
  time: new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit' }),
  full: new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'medium' }),
  day: new Intl.DateTimeFormat(lang, { weekday: 'long', month: 'long', day: 'numeric' }),
  dayOfYear: new Intl.DateTimeFormat(lang, { dateStyle: 'full' }),
};

/** @param {Date} at */
export const timeOf = (at) => formats.time.format(at);

/** @param {Date} at */
export const momentOf = (at) => formats.full.format(at);

/** @param {Date} at */
export function dayOf(at) {
  const today = new Date(serverTime());
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (at.toDateString() === today.toDateString()) return say('today');
  if (at.toDateString() === yesterday.toDateString()) return say('yesterday');
  return (at.getFullYear() === today.getFullYear() ? formats.day : formats.dayOfYear).format(at);
}

/** Puts words where the page's HTML asks for them. */
export function translate() {
  document.documentElement.lang = lang;
  for (const element of document.querySelectorAll('[data-say]')) {
    element.textContent = say(element.getAttribute('data-say') ?? '');
  }
  for (const element of document.querySelectorAll('[data-label]')) {
    element.setAttribute('aria-label', say(element.getAttribute('data-label') ?? ''));
  }
  for (const element of document.querySelectorAll('[data-hint]')) {
    element.setAttribute('placeholder', say(element.getAttribute('data-hint') ?? ''));
  }
}
