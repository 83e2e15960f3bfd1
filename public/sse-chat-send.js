// Sends something until it is stored or refused. sse-chat.js loads this file with the
// first thing that is sent.

/** @import { Sending } from './sse-chat.js' */

const LONGEST_DELAY = 30_000;
const LONGEST_ANSWER = 20_000;
const NONCE_LASTS = 9 * 60_000; // the server's 10, less a margin
const LONGEST_PAUSE = 3_600_000; // timers count to 24.8 days only
const FOREVER = 2 ** 31 - 1;

const isOffline = () => globalThis.navigator?.onLine === false;

/**
 * @param {(init: RequestInit) => Promise<any>} post
 * @param {EventTarget} waits emits `live` when waiting makes no sense any more
 * @param {AbortSignal} until
 * @param {Sending} sending
 */
export async function deliver(post, waits, until, { nonce = crypto.getRandomValues(new Uint32Array(4)).join('-'), since = 0, onattempt = () => {}, onwait = () => {}, onlogin }) {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': nonce };
  for (let failures = 0; ; failures++) {
    until.throwIfAborted();
    const now = Date.now();
    const wasOffline = isOffline();
    if (since && Math.abs(now - since) > NONCE_LASTS) throw Object.assign(new Error('it may have been stored'), { code: 'unsure', status: 0 });
    if (!since) onattempt(since = now);
    let pause = 0;
    try {
      // with keepalive it may outlive the page; browsers limit that, so the next may not
      return await post({ headers, keepalive: failures % 2 === 0, signal: AbortSignal.any([until, AbortSignal.timeout(LONGEST_ANSWER)]) });
    } catch (/** @type {any} */ error) {
      until.throwIfAborted();
      const { code, status, retryAfter } = error; // a network's error has no status
      const isCertain = status === undefined ? wasOffline && isOffline() : status < 500;
      if (isCertain && since === now) onattempt(since = 0); // it is not stored
      if (code === 'login' && onlogin) {
        onlogin(error);
        if (status === 401) pause = FOREVER; // browsers ask for it themselves
      } else {
        if (status < 500 && status !== 429) throw error;
        pause = Math.min(retryAfter || 0, LONGEST_PAUSE);
        if (pause) onwait(Date.now() + pause);
      }
    }
    const most = Math.min(LONGEST_DELAY, 500 * 2 ** failures);
    await wait(Math.max(pause, most * (0.5 + Math.random() / 2)), until, pause % FOREVER === 0 ? waits : undefined);
  }
}

/** @param {number} ms @param {AbortSignal} until @param {EventTarget} [waits] */
async function wait(ms, until, waits) {
  const over = new AbortController();
  const { signal } = over;
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.onabort = () => clearTimeout(timer);
    until.addEventListener('abort', resolve, { signal });
    waits?.addEventListener('live', resolve, { signal });
  });
  over.abort();
}
