// Checks the texts of all languages in a folder of the page: the same keys and places
// for values, all plural forms, and that the page uses each key and no other. Prints
// what is wrong.

import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = resolve(process.argv[2]);
const sources = new Map(readdirSync(folder).filter((file) => /\.(js|html)$/.test(file)).map((file) => [file, readFileSync(`${folder}/${file}`, 'utf8')]));
const languages = /\\b\(([\w|-]+)\)\\b/.exec(sources.get('page.js') ?? '')?.[1].split('|') ?? [];

/** @type {Map<string, Record<string, string>>} */
const texts = new Map();
for (const language of languages) {
  texts.set(language, (await import(pathToFileURL(`${folder}/${language}.js`).href)).default);
  sources.delete(`${language}.js`);
}
/** @type {string[]} */
const wrong = languages.length ? [] : ['page.js has no list of languages'];
for (const [file, source] of sources) {
  if (/^export default \{\s+\w+: '/m.test(source)) wrong.push(`${file} is not in the list of page.js`);
}

/** Used literally, and with a count. */
const said = new Set();
const counted = new Set();
/** Literals that may be chosen from. */
const literals = new Set();
for (const source of sources.values()) {
  for (const [, key] of source.matchAll(/data-(?:say|label|hint)="(\w+)"/g)) said.add(key);
  for (const [, counts, choice] of source.matchAll(/\bsay(Count)?\(([^,()]*)/g)) {
    for (const [, key] of choice.matchAll(/'(\w+)'/g)) (counts ? counted : said).add(key);
  }
  for (const [, quoted, property] of source.matchAll(/'(\w+)'|(?<=[{,]\s*)(\w+):/g)) literals.add(quoted ?? property);
}

/** The places for values. @param {string} text */
const places = (text) => [...new Set(text.match(/\{\d\}/g))].sort().join();
/** Without the plural form. @param {string} key */
const stem = (key) => (counted.has(key.replace(/_[a-z]+$/, '')) ? key.replace(/_[a-z]+$/, '') : key);

const [[, first] = ['', {}]] = texts;
const all = new Map(Object.entries(first).map(([key, text]) => [stem(key), places(text)]));
for (const key of said) if (!all.has(key)) wrong.push(`${key} is said, but has no text`);
for (const key of counted) if (!all.has(key)) wrong.push(`${key} is counted, but has no text`);
for (const key of all.keys()) if (!said.has(key) && !counted.has(key) && !literals.has(key)) wrong.push(`${key} is not used`);
for (const [language, words] of texts) {
  const { pluralCategories } = new Intl.PluralRules(language).resolvedOptions();
  const wanted = [...all.keys()].flatMap((key) => (counted.has(key) ? pluralCategories.map((form) => `${key}_${form}`) : key));
  for (const key of wanted) if (!words[key]) wrong.push(`${language} has no ${key}`);
  for (const key of Object.keys(words)) if (!wanted.includes(key)) wrong.push(`${language} has ${key}, which is not used`);
  for (const [key, text] of Object.entries(words)) {
    if (places(text) !== all.get(stem(key))) wrong.push(`${language} has ${places(text) || 'no values'} in ${key}, not ${all.get(stem(key))}`);
  }
}
console.log(JSON.stringify(wrong));
