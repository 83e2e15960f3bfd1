// Runs an EventSource client for Node, given by its name: reads a URL until it is
// killed, and writes each dispatched event as a line of JSON.
import { fetchClients } from './fetch.mjs';
import { http2Clients } from './http2.mjs';
import { reactNative } from './react-native.mjs';
import { deliver, final, lastEventId, pause, require, standard, url } from './stream.mjs';

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
  ...fetchClients,
  ...http2Clients,
  node: () => node(url),
  eventsource: () => final(standard(require('eventsource').EventSource, url)),
  undici: () => final(standard(require('undici').EventSource, url)),
  'react-native-sse': () => reactNative(url),
  'eventsource-client': () => {
    require('eventsource-client').createEventSource({ url, onMessage: ({ event = 'message', data }) => deliver(event, data) });
  },
  // It stops at a clean end, and then forgets the last id.
  'fetch-event-source': async () => {
    globalThis.window = globalThis;
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
    const { fetchEventSource } = require('@microsoft/fetch-event-source');
    const headers = {};
    for (;; await pause()) {
      await fetchEventSource(url, {
        headers,
        onmessage: ({ id, event, data }) => {
          if (id) headers[lastEventId] = id;
          deliver(event || 'message', data);
        },
      });
    }
  },
};

await clients[process.argv[2]]();
setInterval(() => {}, 1 << 30); // a reconnect alone does not keep Node running
