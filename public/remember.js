// Values remembered for all tabs, or for this one: by the browser, or else by the page.

/** Separates the chats of a site. */
export const PLACE = `sse-chat ${new URL('.', document.baseURI).pathname} `;

/** Tries something that browsers may forbid. @template T @param {() => T} what */
export function attempt(what) {
  try {
    return what();
  } catch {
    return undefined;
  }
}

/** @param {() => Storage} storage */
function memory(storage) {
  /** Values that it refused, or does not return. @type {Map<string, string>} */
  const refused = new Map();
  return {
    /** Returns `otherwise` if the value does not fit. @template T @param {string} key @param {T} otherwise @param {(value: any) => boolean} [fits] @returns {T} */
    get(key, otherwise, fits = (value) => typeof value === typeof otherwise) {
      const value = attempt(() => JSON.parse(refused.get(key) ?? storage().getItem(PLACE + key) ?? ''));
      return attempt(() => fits(value)) ? value : otherwise;
    },

    /** @param {string} key @param {(value: any) => boolean} fits @returns {any[]} */
    list(key, fits) {
      return this.get(key, [], Array.isArray).filter((value) => attempt(() => fits(value)));
    },

    /** @param {string} key @param {unknown} [value] */
    set(key, value) {
      refused.delete(key);
      if (value === undefined) {
        attempt(() => storage().removeItem(PLACE + key));
        return;
      }
      const text = JSON.stringify(value);
      attempt(() => storage().setItem(PLACE + key, text));
      if (attempt(() => storage().getItem(PLACE + key)) !== text) refused.set(key, text);
    },

    /** @param {string} prefix */
    keys(prefix) {
      const all = [...refused.keys()].map((key) => PLACE + key).concat(attempt(() => Object.keys(storage())) ?? []);
      return [...new Set(all)].filter((key) => key.startsWith(PLACE + prefix)).map((key) => key.slice(PLACE.length));
    },
  };
}

export const everywhere = memory(() => localStorage);
export const here = memory(() => sessionStorage);

/** @param {unknown} value */
export const isText = (value) => typeof value === 'string';

/** @param {unknown} value */
export const isPair = (value) => Array.isArray(value) && value.length === 2 && value.every(isText);

/** Listens for changes in other tabs. @param {string} prefix of keys @param {() => void} listener */
export function onChange(prefix, listener) {
  addEventListener('storage', ({ key }) => (key ?? PLACE + prefix).startsWith(PLACE + prefix) && listener());
}
