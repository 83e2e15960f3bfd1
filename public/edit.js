// Edits a message in place.

import { cleaned, sends } from './composer.js';
import { make } from './dom.js';
import { say } from './words.js';

/** @param {import('./rows.js').Row} row @param {(text: string) => void} save @param {string} [text] to start from */
export function edit({ item, shown }, save, text = shown.text ?? '') {
  if (item.classList.contains('editing')) return;
  const field = make('textarea', { 'aria-label': say('edit'), value: text, enterKeyHint: 'done' });
  const form = make('form', { class: 'edit' }, field,
    make('button', { type: 'button', class: 'quiet', onclick: end }, say('cancel')), make('button', { type: 'submit' }, say('save')));
  function end() {
    form.remove();
    item.classList.remove('editing');
    /** @type {HTMLElement} */ (document.querySelector('#text')).focus({ preventScroll: true });
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const now = cleaned(field.value);
    if (now.trim() && now !== shown.text) save(now);
    end();
  });
  field.addEventListener('keydown', (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Escape') end();
    else if (sends(event)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  item.classList.add('editing');
  item.append(form);
  field.focus();
  field.setSelectionRange(text.length, text.length);
}
