// Clients over HTTP/2. They answer what begins with "ping", on the same connection.
import { connect as connectTo } from 'node:http2';
import { Lines } from './lines.mjs';
import { deliver, pause, require, standard, url } from './stream.mjs';

const update = url.replace('/subscribe', '/update');
const pong = JSON.stringify({ text: 'pong' });
const isPing = (event, data) => event === 'message' && JSON.parse(data).text.startsWith('ping');

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
    const session = connectTo(origin);
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
        const other = session.closed ? connectTo(origin) : session;
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

export const http2Clients = {
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
    for (;; await pause()) {
      try {
        const { body } = await require('undici').fetch(url, { dispatcher, headers: lines.begin() });
        for await (const text of body.pipeThrough(new TextDecoderStream())) {
          lines.read(text, (event, data) => {
            deliver(event, data);
            if (isPing(event, data)) void post(dispatcher);
          });
        }
      } catch {} // of a connection; it opens another
    }
  },
};
