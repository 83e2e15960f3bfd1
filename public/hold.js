// Keeps the list from scrolling while a pointer button is down on it or text is selected.

import { find } from './dom.js';

const scroller = find('scroller');
let isDown = false;
let was = { top: 0, height: 0, atEnd: false };

/** A pointer or the selection has changed. @param {any} event @param {import('./reader.js').Reader} reader */
export function hold({ type, target, buttons }, reader) {
  if (type === 'pointerdown') isDown = scroller.contains(target);
  else if (type !== 'selectionchange' && !buttons) isDown = false;
  // releasing the button on a scroll bar may send no pointerup
  if (isDown && /^pointer(down|move)$/.test(type)) document.addEventListener('pointermove', (event) => hold(event, reader), { once: true });
  const selection = getSelection();
  const isHeld = isDown || Boolean(selection && !selection.isCollapsed && selection.containsNode(find('messages'), true));
  if (isHeld === reader.isHeld) return;
  reader.isHeld = isHeld;
  const { scrollTop, scrollHeight } = scroller;
  if (isHeld) {
    was = { top: scrollTop, height: scrollHeight, atEnd: reader.atEnd };
    reader.atEnd = false;
  } else {
    reader.emit(was.atEnd && scrollTop === was.top && scrollHeight > was.height ? 'end' : 'scrolled');
  }
}
