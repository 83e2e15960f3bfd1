// Runs an EventSource client for Node, given by its package name: reads a URL until
// it is killed, and writes each dispatched event as a line of JSON.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const [name, url] = process.argv.slice(2);

const deliver = (event, data) => process.stdout.write(JSON.stringify({ event, data }) + '\n');

/** What browsers have, too. @param {typeof EventSource} EventSource */
const standard = (EventSource, url) => {
  const source = new EventSource(url);
  for (const event of ['message', 'gap']) {
    source.addEventListener(event, ({ data }) => deliver(event, data));
  }
  return source;
};

/**
 * Node 20's own gives up once a connection is refused, and says so only in its
 * readyState. Another one has to be told the last id.
 */
const node = (from) => {
  const source = standard(EventSource, from);
  let last = '';
  source.addEventListener('message', ({ lastEventId }) => { last = lastEventId; });
  const watch = setInterval(() => {
    if (source.readyState !== EventSource.CLOSED) return;
    clearInterval(watch);
    node(last ? `${url}&last_event_id=${last}` : from);
  }, 200);
};

const clients = {
  node: () => node(url),
  eventsource: () => standard(require('eventsource').EventSource, url),
  undici: () => standard(require('undici').EventSource, url),
  'eventsource-client': () => {
    require('eventsource-client').createEventSource({ url, onMessage: ({ event = 'message', data }) => deliver(event, data) });
  },
  // It stops at a clean end, and then forgets the last id.
  'fetch-event-source': async () => {
    globalThis.window = globalThis;
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
    const { fetchEventSource } = require('@microsoft/fetch-event-source');
    const headers = {};
    for (;;) {
      await fetchEventSource(url, {
        headers,
        onmessage: ({ id, event, data }) => {
          if (id) headers['last-event-id'] = id;
          deliver(event || 'message', data);
        },
      });
      await new Promise((wake) => setTimeout(wake, 500));
    }
  },
};

await clients[name]();
setInterval(() => {}, 1 << 30); // a reconnect alone does not keep Node running
