// What the clients for Node share.
import { createRequire } from 'node:module';

export const require = createRequire(import.meta.url);

/** The URL of the stream. */
export const url = process.argv[3];

export const lastEventId = 'Last-Event-ID';

/** Reports a dispatched event. */
export const deliver = (event, data) => process.stdout.write(JSON.stringify({ event, data }) + '\n');

/** The time before a wrapped client reconnects. */
export const pause = () => new Promise((wake) => setTimeout(wake, 500));

/** What browsers have, too. @param {typeof EventSource} EventSource */
export const standard = (EventSource, url, init) => {
  const source = new EventSource(url, init);
  for (const event of ['message', 'gap']) {
    source.addEventListener(event, ({ data }) => deliver(event, data));
  }
  return source;
};

/** Reports that it has given up. */
export const final = (source) => source.addEventListener('error', () => {
  if (source.readyState === 2) deliver('closed', '');
});
