// Loads the styles of the parts that are loaded later.

import { make } from './dom.js';

/** Ends when they are there, or cannot be had: rows would move if they came later. @param {string} file of this folder */
export function styled(file) {
  return new Promise((resolve) => {
    document.head.append(make('link', { rel: 'stylesheet', href: new URL(file, import.meta.url).href, onload: resolve, onerror: resolve }));
  });
}
