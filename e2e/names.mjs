// Compares the page's rules for names with the server's. Standard input has the
// ranges of code points that are allowed in each place. Prints the differences,
// and the names that the page makes from typed text.

// what the page's modules want of a browser
Object.assign(globalThis, { location: { search: '' }, document: { baseURI: 'http://localhost/' }, navigator: { language: 'en', languages: [] } });
const { fittingName, isName } = await import('../public/name.js');
const { roomName } = await import('../public/page.js');

let input = '';
for await (const chunk of process.stdin) input += chunk;
/** @typedef {{before: string, after: string, allowed: [number, number][]}} Place */
/** @type {{names: Place[], rooms: Place[], assigned: [number, number][], typed: string[]}} */
const { names, rooms, assigned, typed } = JSON.parse(input);

const isAssigned = /^\P{Cn}$/u;

/** @param {[number, number][]} ranges */
function setOf(ranges) {
  const set = new Uint8Array(0x110000);
  for (const [first, last] of ranges ?? []) set.fill(1, first, last + 1);
  return set;
}

// a code point too new for one side is not a difference
const known = setOf(assigned);
let skipped = 0;
const compared = [];
for (let c = 0; c < 0x110000; c++) {
  if (isAssigned.test(String.fromCodePoint(c)) === Boolean(known[c])) compared.push(c);
  else skipped++;
}
/** @type {string[]} */
const differ = [];
/** @param {Place[]} places @param {(s: string) => boolean} rule */
function compare(places, rule) {
  for (const { before, after, allowed: ranges } of places ?? []) {
    const allowed = setOf(ranges);
    for (const c of compared) {
      const s = before + String.fromCodePoint(c) + after;
      if (rule(s) !== Boolean(allowed[c])) differ.push(`U+${c.toString(16)} in ${JSON.stringify(s)}: the page says ${rule(s)}`);
    }
  }
}
compare(names, isName);
compare(rooms, (s) => roomName(s) === s);
console.log(JSON.stringify({ differ: differ.slice(0, 20), count: differ.length, skipped, unicode: process.versions.unicode, fitted: typed.map(fittingName), taken: typed.map(isName) }));
