// Offers names after an @ in a text. Loaded with the first one that is typed.

import { make } from './dom.js';
import { others } from './mentions.js';
import { address } from './rooms.js';
import { say } from './words.js';

const list = make('ul', { id: 'names', role: 'listbox', 'aria-label': say('people') });
/** @type {HTMLTextAreaElement|undefined} */
let field;
let typed = '';
let active = 0;

/** 기 begins 김. @param {string} text */
const folded = (text) => text.normalize('NFKD').toLowerCase();

/** The reader has typed. */
function complete() {
  close();
  const target = document.activeElement;
  if (!(target instanceof HTMLTextAreaElement)) return;
  [typed] = /(?<![\w.+\-])@[^@\n]*$/.exec(target.value.slice(0, target.selectionStart)) ?? [''];
  const names = others(address.room).map((name) => `@${name}`);
  const fitting = names.filter((name) => typed && folded(name).startsWith(folded(typed)));
  // a name and a space is complete
  if (!fitting.length || names.some((name) => folded(`${name} `) === folded(typed))) return;
  field = target;
  field.before(list);
  field.setAttribute('aria-controls', list.id);
  list.replaceChildren(...fitting.map((name, i) => make('li', { id: `name-${i}`, role: 'option' }, name)));
  activate(0);
}

/** @param {number} i */
function activate(i) {
  const options = [...list.children];
  active = (i + options.length) % options.length;
  options.forEach((option, i) => option.ariaSelected = String(i === active));
  options[active].scrollIntoView({ block: 'nearest' });
  field?.setAttribute('aria-activedescendant', `name-${active}`);
}

/** @param {HTMLTextAreaElement} into @param {string|null} name */
function insert(into, name) {
  into.setSelectionRange(into.selectionStart - typed.length, into.selectionStart);
  document.execCommand('insertText', false, `${name} `); // can be undone
}

function close() {
  list.remove();
  field?.removeAttribute('aria-activedescendant');
  field = undefined;
}

list.addEventListener('mousedown', (event) => event.preventDefault()); // keeps the focus
list.addEventListener('click', (/** @type {any} */ { target }) => {
  const into = /** @type {HTMLTextAreaElement} */ (field);
  into.blur(); // ends a composition, in the next task
  into.focus();
  if (target !== list) setTimeout(insert, 0, into, target.textContent);
});

// before the field's own listeners
addEventListener('keydown', (event) => {
  const { key } = event;
  // within a composition, it is the input method's
  if (!field || event.isComposing || event.keyCode === 229 || event.shiftKey) return;
  if (key === 'ArrowDown') activate(active + 1);
  else if (key === 'ArrowUp') activate(active - 1);
  else {
    if (key === 'Enter' || key === 'Tab') insert(field, list.children[active].textContent);
    close();
    if (!/Enter|Tab|Escape/.test(key)) return;
  }
  event.preventDefault();
  event.stopPropagation();
}, true);
for (const type of ['click', 'focusout']) addEventListener(type, close);
addEventListener('input', complete);
complete();
