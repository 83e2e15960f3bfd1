// Building elements without HTML strings.

/**
 * `class` and names with a hyphen are attributes, others are properties.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node|string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'class') element.className = value;
    else if (name.includes('-')) element.setAttribute(name, value);
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children.filter((child) => child !== ''));
  return element;
}

/** @param {string} id @returns {any} */
export function find(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/** What had the focus in an element has it again. @param {HTMLElement} element @param {() => void} change */
export function keepFocus(element, change) {
  const controls = () => [...element.querySelectorAll('a, button')];
  const i = controls().findIndex((control) => control === document.activeElement);
  change();
  if (i < 0 || element.contains(document.activeElement)) return;
  const { [i]: same = element } = /** @type {HTMLElement[]} */ (controls());
  element.tabIndex = -1;
  same.focus({ preventScroll: true });
}

export class Source extends EventTarget {
  /** @param {string} type @param {any} [detail] */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {string} type @param {(detail: any) => void} listener */
  on(type, listener) {
    this.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
  }
}

/** Loads a file of this folder, however long the server is away. @param {string} file @returns {Promise<any>} */
export const load = (file) => import(file).catch(/** @returns {Promise<any>} */ async function again() { // a failed address may fail forever
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return import(`${file}?${Date.now()}`).catch(again);
});
