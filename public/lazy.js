// Loads parts of the page on first use.

import { find, load } from './dom.js';
import { chat } from './history.js';

/**
 * @param {import('./timeline.js').Timeline} timeline
 * @param {import('./writing.js').Writing} writing
 * @param {import('./composer.js').Composer} composer
 * @param {(id: string) => unknown} visit goes to a message
 */
export function loadLater(timeline, writing, composer, visit) {
  const [scroller, text] = [find('scroller'), find('text')];
  /** @type {Promise<import('./menu.js').Menu>|undefined} */
  let loading;
  const menu = () => loading ??= load('./menu.js').then((/** @type {typeof import('./menu.js')} */ { Menu }) => new Menu(timeline, writing, composer, visit));
  for (const type of ['pointerover', 'focusin']) scroller.addEventListener(type, menu, { once: true });
  scroller.addEventListener('pointerdown', (/** @type {PointerEvent} */ event) => menu().then((menu) => menu.press(event)), { once: true });
  scroller.addEventListener('click', (/** @type {Event} */ { target }) => {
    const button = /** @type {Element} */ (target).closest('.quote, .reaction');
    if (button) menu().then((menu) => menu.click(/** @type {HTMLElement} */ (button)));
  });
  composer.on('last', () => menu().then((menu) => menu.edit()));

  text.addEventListener('input', () => {
    writing.prepare();
    import('./typing.js').then(({ typed }) => typed(), () => {});
  });
  chat.addEventListener('signal', ({ data }) => import('./typing.js').then(({ heard }) => heard(data), () => {}));
  addEventListener('input', (/** @type {any} */ { target }) => {
    if (/@/.test(target.value)) import('./complete.js').catch(() => {});
  });
  find('open-search').addEventListener('click', () => load('./search.js').then(({ open }) => open(timeline, visit)));

  // in case the server is away when they are needed
  setTimeout(() => {
    writing.prepare();
    for (const file of ['servernames', 'panels', 'roomlist', 'unfit']) import(`./${file}.js`).catch(() => {});
  }, 15_000);
}
