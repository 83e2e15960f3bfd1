// What becomes of what the reader writes: it is kept as a draft, shown, and sent by
// outbox.js, which is loaded with the first.

import { load } from './dom.js';
import { ask, keep, KEY } from './drafts.js';
import { shut } from './history.js';
import { everywhere, onChange } from './remember.js';
import { address } from './rooms.js';

export class Writing {
  /** @type {import('./outbox.js').Outbox|undefined} */
  #outbox;
  /** @type {Promise<void>|undefined} */
  #opening;

  /** @param {import('./timeline.js').Timeline} timeline */
  constructor(timeline) {
    this.timeline = timeline;
    timeline.on('stored', (nonce) => this.forget(nonce));
    timeline.on('again', (nonce) => this.#outbox?.again(nonce));
    timeline.on('discard', (nonce) => this.#outbox?.discard(nonce));
    timeline.on('rewrite', (draft) => import('./received.js').then(({ takeBack }) => {
      takeBack(draft);
      this.#outbox?.discard(draft.nonce);
    }, () => {}));
    onChange(KEY, () => this.prepare()); // in another tab
    if (everywhere.keys(KEY).length) this.prepare();
  }

  /** The server may be away when something is written. */
  prepare() {
    return Promise.all([this.#open(), import('./sse-chat-send.js')]).catch(() => {});
  }

  #open() {
    return this.#opening ??= load('./outbox.js').then((/** @type {typeof import('./outbox.js')} */ { Outbox }) => {
      const outbox = this.#outbox = new Outbox();
      outbox.on('draft', (draft) => this.#show(draft));
      outbox.on('gone', (draft) => {
        this.timeline.discard(draft.nonce);
        this.#preview(draft);
      });
      outbox.on('sent', ({ draft, message }) => {
        if (draft.room === address.room) this.timeline.confirm(message);
        this.#preview(draft);
      });
      outbox.start();
    });
  }

  /** @param {Partial<Draft>} what a message, or a change of one */
  write(what) {
    const draft = keep({ room: address.room, ...what });
    if (!this.#outbox) {
      this.#show(draft);
      addEventListener('beforeunload', ask);
    }
    this.#open().then(() => this.#outbox?.read());
  }

  /** Shows the drafts of the room. */
  show() {
    this.#outbox?.in(address.room).forEach((draft) => this.#show(draft));
  }

  /** Takes over what other tabs have left. */
  adopt() {
    this.#outbox?.adopt(true);
  }

  /** It is stored. @param {string} [nonce] */
  forget(nonce) {
    this.#outbox?.forget(nonce, true);
  }

  /** @param {Draft} draft */
  #show(draft) {
    if (draft.room !== address.room) return;
    if (draft.id) this.#preview(draft);
    else this.timeline.pending(draft, shut.has(`write ${draft.room}`));
  }

  /** @param {Draft} draft */
  #preview({ room, id }) {
    if (id) import('./preview.js').then(({ preview }) => preview(id, this.#outbox?.in(room) ?? [], this.timeline), () => {});
  }
}
