// The sound and the notification of a message. Loaded when the reader enables them.

import { find } from './dom.js';
import { attempt, everywhere, PLACE } from './remember.js';
import { say } from './words.js';

/** @type {AudioContext|undefined} */
let audio;

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

/** The reader has changed a setting. @param {string} id */
export async function choose(id) {
  const box = find(id);
  if (id === 'sound' && box.checked) attempt(beep); // as a sample
  if (id === 'notify' && box.checked && attempt(() => Notification.permission) !== 'granted') {
    box.checked = await attempt(() => Notification.requestPermission())?.catch(() => {}) === 'granted';
    find('blocked').hidden = box.checked;
  }
  everywhere.set(id, box.checked);
}

/**
 * Only one tab notifies, and none if the message is visible in some tab.
 * @param {Message} message
 * @param {string} room
 * @param {boolean} isSeen
 * @param {boolean} sound
 * @param {boolean} notify
 */
export async function ring(message, room, isSeen, sound, notify) {
  // the visible tab comes first
  if (!isSeen) await new Promise((resolve) => setTimeout(resolve, 300));
  if (!await isFirst(message.id) || isSeen) return;
  if (sound) attempt(beep);
  if (!notify) return;
  attempt(() => { // Android needs a service worker for them
    const notification = new Notification(`${message.name ?? say('nameless')} · ${room}`, { body: message.text, tag: PLACE + room, icon: 'icon-192.png' });
    notification.onclick = () => window.focus();
  });
}

/** @param {string} id @returns {Promise<boolean>} */
function isFirst(id) {
  return new Promise((resolve) => {
    const asked = attempt(() => navigator.locks.request(`${PLACE}notice ${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise((end) => setTimeout(end, 5000));
    }));
    if (asked) asked.catch(() => resolve(true));
    else resolve(true);
  });
}
