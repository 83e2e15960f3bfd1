// What the browser remembers for us: in localStorage for all tabs, in
// sessionStorage for this one. Without storage nothing is remembered.

/** Tells chats apart that are served by one site under several paths. */
export const PLACE = `sse-chat ${new URL('.', document.baseURI).pathname} `;

/** @param {() => Storage} storage */
const memory = (storage) => ({
  /** @template T @param {string} key @param {T} otherwise @returns {T} */
  get(key, otherwise) {
    try {
      return JSON.parse(storage().getItem(PLACE + key) ?? 'null') ?? otherwise;
    } catch {
      return otherwise;
    }
  },

  /** @param {string} key @param {unknown} value */
  set(key, value) {
    try {
      storage().setItem(PLACE + key, JSON.stringify(value));
    } catch { /* full, or forbidden */ }
  },
});

export const everywhere = memory(() => localStorage);
export const here = memory(() => sessionStorage);

/** @param {string} key @param {() => void} listener */
export function onChange(key, listener) {
  addEventListener('storage', (event) => {
    if (event.key === PLACE + key) listener();
  });
}
