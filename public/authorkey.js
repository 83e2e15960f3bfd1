// The secret that this browser sends with its messages, and the tag by which all can
// tell that they have one author. Only the holder of the secret may change them.

import { everywhere } from './remember.js';

/** Is nobody's guess. @param {number} [words] of 32 bits */
export const random = (words = 4) => crypto.getRandomValues(new Uint32Array(words)).join('-');

const KEY = 'author key';
export const authorKey = everywhere.get(KEY, random(6), (key) => /^[\w-]{22,128}$/.test(key));
everywhere.set(KEY, authorKey);

const bytes = new TextEncoder().encode(`author ${authorKey}`);
// browsers have no SHA-256 for pages that came over plain HTTP
const hash = await (crypto.subtle?.digest('SHA-256', bytes) ?? import('./sha256.js').then(({ sha256 }) => sha256(bytes), () => new Uint8Array(0)));

/** '' if the server was away in the wrong moment. */
export const author = btoa(String.fromCharCode(...new Uint8Array(hash))).slice(0, 11).replaceAll('+', '-').replaceAll('/', '_');
