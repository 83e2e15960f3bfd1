// Shows what the server pushes while no page is open, and opens it on a click. There is no
// fetch handler, so a page is never older than its server. The texts are in the query of its URL.

/** @type {any} */
const worker = self;
const words = new URL(worker.location.href).searchParams;
const home = new URL(worker.registration.scope).pathname;

worker.addEventListener('push', (/** @type {any} */ event) => event.waitUntil(show(event.data.json())));
worker.addEventListener('notificationclick', (/** @type {any} */ event) => event.waitUntil(open(event.notification)));

/** The open pages of the chat, most recently used first. @returns {Promise<any[]>} */
async function pages() {
  /** @type {any[]} */
  const all = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
  return all.filter(({ url }) => [home, `${home}index.html`].includes(new URL(url).pathname));
}

/** Returns a page's answer, or undefined if there is none within a second: it may be loading. @param {any} page @param {{room: string, id?: string}} question */
function ask(page, question) {
  const { port1, port2 } = new MessageChannel();
  page.postMessage(question, [port2]);
  return new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
    setTimeout(resolve, 1000);
  });
}

/** @param {{room: string, name?: string|null, text?: string, id: string}} message */
async function show({ room, name = words.get('nameless'), text = '', id }) {
  const answers = await Promise.all((await pages()).map((page) => ask(page, { room })));
  if (answers.includes(true)) return;
  const title = room === 'lobby' ? words.get('lobby') : room;
  await worker.registration.showNotification(`${name} · ${title}`, {
    body: text, tag: `${words.get('tag')}${room}`, renotify: true, icon: 'icon-192.png', data: { room, id },
  });
  const { length } = await worker.registration.getNotifications();
  await worker.navigator.setAppBadge?.(length).catch(() => {});
}

/** @param {any} notification */
async function open(notification) {
  const { room, id } = notification.data;
  notification.close();
  const [page] = await pages();
  if (page && await ask(page, { room, id })) return page.focus();
  return worker.clients.openWindow(`./${room === 'lobby' ? '' : `?${new URLSearchParams({ room })}`}#${id}`);
}
