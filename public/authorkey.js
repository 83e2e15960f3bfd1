// The author key of this browser, a secret that it sends with its messages and that lets
// it change them, and the public tag that the server derives from it.

import { everywhere } from './remember.js';

/** An unguessable string. @param {number} [words] of 32 bits */
export const random = (words = 4) => crypto.getRandomValues(new Uint32Array(words)).join('-');

const KEY = 'author key';
export const authorKey = everywhere.get(KEY, random(6), (key) => /^[\w-]{22,128}$/.test(key));
everywhere.set(KEY, authorKey);

const bytes = new TextEncoder().encode(`author ${authorKey}`);
// browsers have no SHA-256 for pages that came over plain HTTP
const hash = await (crypto.subtle?.digest('SHA-256', bytes) ?? import('./sha256.js').then(({ sha256 }) => sha256(bytes), () => new Uint8Array(0)));

/** The tag; '' if sha256.js could not be loaded. */
export const author = btoa(String.fromCharCode(...new Uint8Array(hash))).slice(0, 11).replaceAll('+', '-').replaceAll('/', '_');
