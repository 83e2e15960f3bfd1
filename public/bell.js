// The sound and the notification for a message, and the choice of which messages have them,
// also while no page is open. Loaded when the reader enables either.

import { attempt, chat, everywhere, find, loadSpecial, make, onChange, PLACE, say } from './page.js';
import { address, titleOf } from './rooms.js';
import { LOBBY } from './sse-chat.js';

const PAUSE = 3000; // ms between two sounds
const KEY = 'notices ';

/** @param {string} room @returns {string} */
const wantedIn = (room) => everywhere.get(KEY + room, 'all');

const select = make('select', { onchange: () => choosePart(select.value) }, ...['all', 'mentions', 'nothing'].map((value) => make('option', { value }, say(value))));
const where = make('bdi');
find('sound').parentElement?.after(make('label', {}, where, select));

/** @param {string} part of the messages of the shown room */
function choosePart(part) {
  everywhere.set(KEY + address.room, part);
  enrolSoon();
}

/** @param {(push: typeof import('./push.js')) => unknown} use */
const push = (use) => import('./push.js').then(use).catch(() => {});

/** @type {Timer} */
let soon;

/** Updates this browser's push subscription a second after the last change. */
function enrolSoon() {
  clearTimeout(soon);
  soon = setTimeout(() => find('notify').checked && chat.state === 'live' && push(({ enrol }) => enrol(wantedIn)), 1000);
}
chat.addEventListener('statechange', enrolSoon); // with other rooms or another name, too
if (find('notify').checked) push(enrolSoon); // it answers the worker from now on

/** Shows the choice for the shown room. */
function offer() {
  where.textContent = titleOf(address.room);
  select.value = wantedIn(address.room);
}
address.on('room', offer);
onChange(KEY, offer);
offer();

/** @type {AudioContext|undefined} */
let audio;
let quiet = 0; // until then

function beep() {
  audio ??= new AudioContext();
  const [tone, volume] = [audio.createOscillator(), audio.createGain()];
  const now = audio.currentTime;
  volume.gain.setValueAtTime(0.08, now);
  volume.gain.exponentialRampToValueAtTime(0.0001, now + 0.3);
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(now + 0.3);
}

const allowed = () => attempt(() => Notification.permission) === 'granted';

/** The browser may have forbidden notifications. */
export function check() {
  find('notify').checked &&= allowed();
}

/** The reader has changed a setting. @param {'notify'|'sound'} id */
export async function choose(id) {
  const box = find(id);
  if (id === 'sound' && box.checked) attempt(beep); // as a sample
  if (id === 'notify' && box.checked && !allowed()) {
    box.checked = await attempt(() => Notification.requestPermission())?.catch(() => {}) === 'granted';
    find('blocked').hidden = box.checked;
  }
  everywhere.set(id, box.checked);
  if (id !== 'notify') return;
  if (box.checked) enrolSoon();
  else await push(({ leave }) => leave());
}

/** Only one tab notifies, and none if the message is visible in some tab. @param {Message} message @param {boolean} isSeen */
export async function ring(message, isSeen) {
  const { id, room = LOBBY, name = say('nameless'), text } = message;
  const wanted = wantedIn(room);
  if (wanted === 'nothing' || (wanted === 'mentions' && !(await loadSpecial()).isMention(message))) return;
  // the visible tab comes first
  if (!isSeen) await new Promise((resolve) => setTimeout(resolve, 300));
  if (!await isFirst(id, 5000) || isSeen) return;
  if (find('sound').checked && await isFirst('sound', PAUSE) && quiet < Date.now()) {
    quiet = Date.now() + PAUSE;
    attempt(beep);
  }
  if (!find('notify').checked || !allowed()) return;
  const title = `${name} · ${titleOf(room)}`;
  const options = { body: text, tag: PLACE + room, icon: 'icon-192.png' };
  try {
    const notification = new Notification(title, options);
    notification.onclick = () => {
      window.focus();
      notification.close();
      address.go(room);
      address.emit('visit', id);
    };
  } catch { // on Android, only the worker may show notifications
    push(async ({ worker }) => (await worker()).showNotification(title, { ...options, data: { room, id } }));
  }
}

/** Whether no other tab has done it. @param {string} what @param {number} ms ago @returns {Promise<boolean>} */
function isFirst(what, ms) {
  return new Promise((resolve) => {
    const asked = attempt(() => navigator.locks.request(`${PLACE}notice ${what}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise((end) => setTimeout(end, ms));
    }));
    if (asked) asked.catch(() => resolve(true));
    else resolve(true);
  });
}
