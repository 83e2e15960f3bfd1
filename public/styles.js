// Loads style sheets of parts that are loaded on demand.

import { make } from './dom.js';

/** Resolves once they have loaded or failed, because late styles would move rows. @param {string} file of this folder */
export function styled(file) {
  return new Promise((resolve) => {
    document.head.append(make('link', { rel: 'stylesheet', href: new URL(file, import.meta.url).href, onload: resolve, onerror: resolve }));
  });
}
