// Web push: the server reaches this browser while no page is open, if it has the option
// `push`. Loaded with notifications.

import { authorKey, chat, everywhere, PLACE, say } from './page.js';
import { address } from './rooms.js';

const AGAIN = 86_400_000; // ms after which the subscription is sent again
const SENT = 'push';
const KEY = 'push key'; // that the subscription was made with

const words = new URLSearchParams({ lobby: say('lobby'), nameless: say('nameless'), tag: PLACE });
const file = `push-worker.js?${words}`;
/** @type {any} a page may only load scripts that a policy allows */
const { trustedTypes } = globalThis;
const policy = trustedTypes?.createPolicy('sse-chat', { createScriptURL: () => file });

/** @type {Promise<ServiceWorkerRegistration>|undefined} */
let registered;

/** The service worker. It also shows notifications where a page may not, as on Android. */
export function worker() {
  registered ??= navigator.serviceWorker.register(policy?.createScriptURL('') ?? file)
    .then(() => navigator.serviceWorker.ready);
  return registered;
}

// The worker asks whether the reader sees a room; with an id, it asks the page to show that
// message.
navigator.serviceWorker?.addEventListener('message', ({ data: { room, id }, ports: [sender] }) => {
  sender.postMessage(Boolean(id) || (room === address.room && document.visibilityState === 'visible'));
  if (!id) return;
  address.go(room);
  address.emit('visit', id);
});

/** @param {string} method @param {string} [query] @param {object} [body] */
async function ask(method, query = '', body) {
  /** @type {RequestInit} */
  const init = { method, cache: 'no-store', redirect: 'manual', body: JSON.stringify(body) };
  const path = `push${query && `?${query}`}`;
  if (chat.you?.name || method === 'GET') return fetch(path, init);
  const answer = await fetch(path, { ...init, headers: { Authorization: `Author-Key ${authorKey}` } });
  // the header is where a browser's own login would be
  return answer.status === 401 ? fetch(path, init) : answer;
}

/** @param {(room: string) => string} wantedIn */
function query(wantedIn) {
  const name = chat.you?.name || chat.name;
  const mentions = chat.rooms.filter((room) => name && wantedIn(room) === 'mentions');
  const rooms = chat.rooms.filter((room) => wantedIn(room) === 'all').concat(mentions);
  /** @param {string} key @param {string[]} values */
  const each = (key, values) => values.map((value) => [key, value]);
  return rooms.length ? new URLSearchParams([...each('room', rooms), ...each('mentions', mentions), ...each('name', name ? [name] : [])]).toString() : '';
}

/** Subscribes, and sends the server the wanted rooms unless it has them. @param {(room: string) => string} wantedIn */
export async function enrol(wantedIn) {
  const { pushManager } = await worker();
  const wanted = query(wantedIn);
  if (!wanted) {
    await leave();
    return;
  }
  const answer = await ask('GET');
  const { key } = answer.ok ? await answer.json() : { key: '' };
  if (!key) return;
  let subscription = await pushManager.getSubscription();
  if (subscription && everywhere.get(KEY, '') !== key) {
    await subscription.unsubscribe(); // it is for another key
    subscription = null;
  }
  subscription ??= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  everywhere.set(KEY, key);
  const news = `${wanted} ${subscription.endpoint}`;
  const [sent, at] = everywhere.get(SENT, ['', 0], Array.isArray);
  if (sent === news && Math.abs(Date.now() - at) < AGAIN) return;
  const { ok } = await ask('PUT', wanted, subscription);
  if (ok) everywhere.set(SENT, [news, Date.now()]);
}

/** Nothing is pushed any more. */
export async function leave() {
  everywhere.set(SENT);
  const registration = await navigator.serviceWorker?.getRegistration();
  const subscription = await registration?.pushManager.getSubscription();
  if (!subscription) return;
  await ask('DELETE', '', { endpoint: subscription.endpoint }).catch(() => {});
  await subscription.unsubscribe();
}
