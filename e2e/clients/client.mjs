// Runs an EventSource client for Node, given by its package name: reads a URL until
// it is killed, and writes each dispatched event as a line of JSON. Those over HTTP/2
// answer what begins with "ping", on the same connection.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const [name, url] = process.argv.slice(2);

const update = url.replace('/subscribe', '/update');
const pong = JSON.stringify({ text: 'pong' });
const isPing = (event, data) => event === 'message' && JSON.parse(data).text.startsWith('ping');

const deliver = (event, data) => process.stdout.write(JSON.stringify({ event, data }) + '\n');

/** What browsers have, too. @param {typeof EventSource} EventSource */
const standard = (EventSource, url, init) => {
  const source = new EventSource(url, init);
  for (const event of ['message', 'gap']) {
    source.addEventListener(event, ({ data }) => deliver(event, data));
  }
  return source;
};

/** Reads the lines of a stream and its last id. */
class Lines {
  last = '';
  #rest = '';
  #event = {};

  /** Forgets what a connection has left unfinished. */
  begin() {
    this.#rest = '';
    this.#event = {};
    return this.last ? { 'last-event-id': this.last } : {};
  }

  /** @param {string} text @param {(event: string, data: string) => void} take */
  read(text, take) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) {
      const { id = this.last, event = 'message', data } = this.#event;
      if (line) {
        const [field, ...value] = line.split(': ');
        this.#event[field] = value.join(': ');
        continue;
      }
      this.last = id;
      this.#event = {};
      if (data !== undefined) take(event, data);
    }
  }
}

/**
 * Node's own HTTP/2: a session for each stream. The window of the connection is the
 * default, or one that is large enough for a stream to be parked.
 * @param {number} [window] in bytes
 */
const http2 = (window) => {
  const lines = new Lines();
  const { origin, pathname, search } = new URL(url);
  const { pathname: updates } = new URL(update);
  const connect = () => {
    const session = require('node:http2').connect(origin);
    session.on('error', () => {}); // it closes then
    session.on('close', () => setTimeout(connect, 500));
    session.on('connect', () => {
      if (window) session.setLocalWindowSize(window);
      const stream = session.request({ ':path': pathname + search, ...lines.begin() });
      stream.setEncoding('utf8');
      stream.on('error', () => {});
      stream.on('close', () => session.close());
      stream.on('data', (text) => lines.read(text, (event, data) => {
        deliver(event, data);
        if (!isPing(event, data)) return;
        // a session that the server leaves takes nothing new
      const other = session.closed ? require('node:http2').connect(origin) : session;
      const post = other.request({ ':method': 'POST', ':path': updates + search });
        post.on('response', (answer) => {
          if (answer[':status'] !== 200) throw new Error(`the post is answered ${answer[':status']}`);
        });
        post.on('close', () => { if (other !== session) other.close(); });
      post.resume().end(pong);
      }));
    });
  };
  connect();
};

/**
 * Posts with undici, on the connection of a dispatcher. Unless undici is told that it
 * may repeat the request, it waits for the end of all others.
 */
const post = async (dispatcher) => {
  const { statusCode, body } = await require('undici').request(update, { dispatcher, method: 'POST', idempotent: true, body: pong });
  if (statusCode !== 200) throw new Error(`the post is answered ${statusCode}`);
  await body.dump();
};

/** A single connection over HTTP/2, for many requests at a time. */
const h2 = () => new (require('undici').Agent)({ allowH2: true, connections: 1, pipelining: 100, connect: { rejectUnauthorized: false } });

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
  http2: () => http2(),
  'http2-wide': () => http2(1 << 20),
  'undici-http2': () => {
    const dispatcher = h2();
    const source = standard(require('undici').EventSource, url, { dispatcher });
    source.addEventListener('message', ({ data }) => {
      if (isPing('message', data)) void post(dispatcher);
    });
  },
  'undici-fetch-http2': async () => {
    const dispatcher = h2();
    const lines = new Lines();
    for (;;) {
      try {
        const { body } = await require('undici').fetch(url, { dispatcher, headers: lines.begin() });
        for await (const text of body.pipeThrough(new TextDecoderStream())) {
          lines.read(text, (event, data) => {
            deliver(event, data);
            if (isPing(event, data)) void post(dispatcher);
          });
        }
      } catch {} // of a connection; it opens another
      await new Promise((wake) => setTimeout(wake, 500));
    }
  },
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
