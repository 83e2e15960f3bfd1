// Keeps what the reader writes as drafts, shows them, and hands them to outbox.js, which is
// loaded with the first draft.

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
  /** Written before the outbox is loaded. @type {Draft[]} */
  #early = [];

  /** @param {import('./timeline.js').Timeline} timeline */
  constructor(timeline) {
    this.timeline = timeline;
    timeline.on('stored', (nonce) => this.forget(nonce));
    timeline.on('again', (nonce) => this.#outbox?.again(nonce));
    timeline.on('discard', (nonce) => this.#outbox?.discard(nonce));
    timeline.on('rewrite', (draft) => this.#rewrite(draft));
    onChange(KEY, () => this.prepare()); // in another tab
    if (everywhere.keys(KEY).length) this.prepare();
  }

  /** Loads what sends, in case the server is away later. */
  prepare() {
    return Promise.all([this.#open(), import('./sse-chat-send.js')]).catch(() => {});
  }

  #open() {
    return this.#opening ??= load('./outbox.js').then((/** @type {typeof import('./outbox.js')} */ { Outbox }) => {
      const outbox = this.#outbox = new Outbox();
      outbox.on('draft', (draft) => this.#show(draft));
      outbox.on('gone', (draft) => {
        this.timeline.discard(draft.nonce);
        // a deleted message must not reappear until its delete event arrives
        if (draft.isDone && draft.room === address.room) this.timeline.arrive('delete', { id: draft.id, room: draft.room });
        else this.#preview(draft);
      });
      outbox.on('sent', ({ draft, message }) => {
        // a message that is not in the page would leave a gap around it
        if (draft.room === address.room && (!draft.id || this.timeline.get(draft.id))) this.timeline.confirm(message);
        this.#preview(draft);
      });
      this.#early = [];
      outbox.start();
    });
  }

  /** @param {Partial<Draft>} what a message, or a change of one */
  write(what) {
    const draft = keep({ room: address.room, ...what });
    if (!this.#outbox) {
      this.#early.push(draft);
      this.#show(draft);
      addEventListener('beforeunload', ask);
    }
    this.#open().then(() => this.#outbox?.read());
  }

  /** Lets the reader edit what was refused. @param {Draft} draft */
  async #rewrite(draft) {
    const { id, change, nonce } = draft;
    const row = this.timeline.get(id);
    if (row) {
      const { edit } = await load('./edit.js');
      edit(row, (/** @type {string} */ text) => this.write({ id, change: { text } }), change?.text);
    } else {
      const { takeBack } = await load('./pasted.js');
      takeBack(draft);
    }
    this.#outbox?.discard(nonce);
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
    if (id) import('./preview.js').then(({ preview }) => preview(id, this.#outbox?.in(room) ?? this.#early, this.timeline), () => {});
  }
}
