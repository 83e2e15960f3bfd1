// Parsers of a response of fetch. They end with it, and do not reconnect.
import { deliver, lastEventId, pause, require, url } from './stream.mjs';

/** @param {(response: Response) => Promise<AsyncIterable<{id: string, event: string, data: string}>>} parse */
const reconnecting = async (parse) => {
  for (let last = ''; ; await pause()) try {
    const response = await fetch(url, { headers: last ? { [lastEventId]: last } : {} });
    if (!response.ok) continue;
    for await (const { id, event, data } of await parse(response)) {
      last = id || last;
      deliver(event, data);
    }
  } catch { /* the connection was reset or refused */ }
};

export const fetchClients = {
  'core-sse': () => reconnecting(async ({ body }) => require('@azure/core-sse').createSseStream(body)),
  'parse-sse': () => reconnecting(async function* (response) {
    const { parseServerSentEvents } = await import('parse-sse');
    for await (const { lastEventId: id, type: event, data } of parseServerSentEvents(response)) yield { id, event, data };
  }),
};
