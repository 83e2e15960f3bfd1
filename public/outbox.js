// What the reader writes: drafts of messages and changes, which stay in the storage until
// they are sent. Loaded when there is one, or when the reader writes.

import { ANSWERED, answered, ask, author, button, chat, DRAFTS, everywhere, isText, keep, keepFocus, learn, load, make, me, onChange, prepare, roomName, say, shut, styled, tab } from './page.js';
import { address } from './rooms.js';
import { previews } from './rows.js';

const MOST_ANSWERED = 500;

/** @param {number} status @param {unknown} error */
function reason(status, error) {
  if (status === 413) return say('tooLong');
  if (status === 403) return say('notAllowed');
  return String(error ?? status);
}

/** @param {any} draft */
const isDraft = ({ room, text = '', name = '', nonce, at, tab, error = '', tried = 0, id = '', change = null, reply_to = '', due = 0 }) => (
  [room, text, name, nonce, tab, error, id, reply_to].every(isText) && [at, tried, due].every(Number.isFinite)
  && typeof change === 'object' && roomName(room) === room && /^[\w-]{1,64}$/.test(nonce));

/** Keeps, shows and sends drafts: each by its own tab, or by another if that is gone. */
export class Writing {
  /** @type {Draft[]} of all tabs */
  #drafts = [];
  /** @type {Map<string, AbortController>} by nonce */
  #sending = new Map();

  /** @param {Timeline} timeline */
  constructor(timeline) {
    this.timeline = timeline;
    timeline.on('stored', (nonce) => this.forget(nonce));
    onChange(DRAFTS, () => this.#read());
    addEventListener('pageshow', ({ persisted }) => persisted && this.#start());
    addEventListener('pagehide', () => {
      for (const draft of this.#drafts) {
        if (draft.tab === tab) this.#keep(draft.nonce, { tab: '' });
      }
    });
    this.#start();
    styled();
  }

  /** @param {Partial<Draft>} what a message, or a change of one */
  write(what) {
    keep({ room: address.room, ...what });
    this.#read();
  }

  /** @param {string} room */
  #in(room) {
    return this.#drafts.filter((draft) => draft.room === room);
  }

  /** @param {string} [nonce] */
  #get(nonce) {
    return this.#drafts.find((draft) => draft.nonce === nonce);
  }

  /** @param {string} nonce */
  #again(nonce) {
    const at = Math.max(Date.now(), ...this.#drafts.map((draft) => draft.at + 1));
    this.#keep(nonce, { error: undefined, tried: undefined, tab, at });
    const draft = this.#get(nonce);
    if (draft) this.#send(draft);
  }

  #start() {
    this.#read();
    this.adopt();
  }

  /** Takes over drafts of all tabs, which may have crashed, or of closed ones. */
  adopt(all = true) {
    for (const draft of this.#drafts) {
      if (draft.tab === tab || draft.error || (draft.tab && !all)) continue;
      this.#keep(draft.nonce, { tab });
      this.#send(draft);
    }
  }

  /** @param {string} [nonce] */
  forget(nonce = '', isStored = true) {
    const draft = this.#get(nonce);
    if (!draft) return;
    everywhere.set(DRAFTS + nonce);
    this.#drafts = this.#drafts.filter((draft) => draft.nonce !== nonce);
    const control = this.#sending.get(nonce);
    // the answer may be on its way
    setTimeout(() => control?.abort(), isStored ? 1000 : 0);
    if (isStored) this.#shut(draft.room, false);
    this.#settle();
  }

  /** The reader takes it back. @param {string} nonce */
  #discard(nonce) {
    const draft = this.#get(nonce);
    this.forget(nonce, false);
    if (draft) this.#gone(draft);
  }

  /** @param {string} nonce @param {Partial<Draft>} changes */
  #keep(nonce, changes) {
    const draft = this.#get(nonce);
    if (!draft) return;
    Object.assign(draft, changes);
    everywhere.set(DRAFTS + nonce, draft);
    this.#settle();
    this.#show(draft);
  }

  #settle() {
    this.#drafts.sort((a, b) => a.at - b.at);
    // beforeunload keeps a page out of the back-forward cache; a reader who leaves to log in comes back
    const waits = this.#drafts.some((draft) => draft.tab === tab && !draft.error && !shut.has(`write ${draft.room}`));
    if (waits) addEventListener('beforeunload', ask);
    else removeEventListener('beforeunload', ask);
  }

  /** Another tab, or this one, has written drafts. */
  #read() {
    const old = this.#drafts;
    this.#drafts = everywhere.keys(DRAFTS).map((key) => everywhere.get(key, null, isDraft)).filter((draft) => draft !== null);
    this.#settle();
    for (const draft of this.#drafts) {
      this.#show(draft);
      if (draft.tab === tab && !draft.error) this.#send(draft);
    }
    for (const draft of old) {
      if (this.#get(draft.nonce)) continue;
      this.#sending.get(draft.nonce)?.abort();
      this.#gone(draft);
    }
    // one other tab is enough
    if (this.#drafts.some(({ tab, error }) => !tab && !error)) setTimeout(() => this.adopt(false), 500 * Math.random());
  }

  /** Until it is stored or refused. @param {Draft} draft */
  async #send({ nonce, due = 0 }) {
    if (this.#sending.has(nonce)) return;
    const control = new AbortController();
    this.#sending.set(nonce, control);
    // until then it can be taken back
    if (due > Date.now()) await new Promise((resolve) => setTimeout(resolve, due - Date.now()));
    const draft = this.#get(nonce);
    if (draft?.tab === tab) await this.#deliver(draft, control.signal);
    this.#sending.delete(nonce);
  }

  /** @param {Draft} draft @param {AbortSignal} signal */
  async #deliver(draft, signal) {
    const { room, nonce, tried: since, id, change, text, name, reply_to } = draft;
    const sending = {
      room, nonce, since, signal,
      onattempt: (/** @type {number} */ at) => this.#keep(nonce, { tried: at || undefined }),
      onwait: (/** @type {number} */ waits) => this.#keep(nonce, { waits }),
      onlogin: () => this.#shut(room, true),
    };
    try {
      /** @type {any} */
      const message = await (!id ? chat.send({ text, name: name || undefined, reply_to }, sending)
        : change ? chat.change(id, change, sending) : chat.remove(id, sending));
      this.#shut(room, false);
      if (!id && message.author !== author) {
        answered.add(message.id);
        everywhere.set(ANSWERED, [...answered].slice(-MOST_ANSWERED));
      }
      this.forget(nonce, false);
      if (message.deleted || (id && !change)) this.#gone({ ...draft, isDone: Boolean(id) });
      else this.#sent(draft, message);
    } catch (/** @type {any} */ { code, status, message }) {
      if (signal.aborted) return;
      this.#shut(room, false);
      if (id && status === 404) { // so there is nothing left to change
        this.forget(nonce, false);
        this.#gone({ ...draft, isDone: true });
        return;
      }
      if (code === 'unsure' && id && change?.text === undefined) { // a repeat does no harm
        this.#keep(nonce, { tried: undefined });
        this.#deliver(/** @type {Draft} */ (this.#get(nonce)), signal);
        return;
      }
      const refused = /400|413|422/.test(status) ? message : undefined;
      this.#keep(nonce, { refused, error: code === 'unsure' ? say('unsure') : reason(status, message) });
    }
  }

  /** @param {string} room @param {boolean} isShut */
  #shut(room, isShut) {
    learn(`write ${room}`, isShut);
    this.#settle();
  }

  /** @param {Draft} draft */
  #gone(draft) {
    this.timeline.discard(draft.nonce);
    // a deleted message must not reappear until its delete event arrives
    if (draft.isDone && draft.room === address.room) this.timeline.arrive('delete', { id: draft.id, room: draft.room });
    else this.#preview(draft);
  }

  /** @param {Draft} draft @param {Message} message */
  #sent(draft, message) {
    // a message that is not in the page would leave a gap around it
    if (draft.room === address.room && (!draft.id || this.timeline.get(draft.id))) this.timeline.confirm(message);
    this.#preview(draft);
  }

  /** Shows the drafts of the room. */
  show() {
    this.#in(address.room).forEach((draft) => this.#show(draft));
  }

  /** @param {Draft} draft */
  #show(draft) {
    if (draft.room !== address.room) return;
    if (draft.id) {
      this.#preview(draft);
      return;
    }
    const row = this.timeline.pending(draft);
    if (!row) return;
    this.#tell(row, draft);
    this.timeline.grown();
  }

  /** Shows the state of a draft at its row. @param {Row} row @param {Draft} draft */
  #tell(row, draft) {
    const { room, nonce, error, refused, waits = 0, text, change, due } = draft;
    const takeBack = () => this.#discard(nonce);
    if (error) {
      /** @type {Record<string, () => void>} */
      const choice = refused && (text ?? change?.text) ? { rewrite: () => this.#rewrite(draft) } : { again: () => this.#again(nonce) };
      tell(row, 'failed', `${say('failed')}: ${error}`, { ...choice, discard: takeBack });
    } else if (change === null && due) {
      tell(row, 'pending', say('deleted'), { undo: takeBack });
    } else {
      const fate = tell(row, 'pending', say(shut.has(`write ${room}`) ? 'login' : 'sending'));
      if (fate && waits > Date.now()) countDown(fate, waits);
    }
  }

  /** Lets the reader edit what was refused. @param {Draft} draft */
  async #rewrite(draft) {
    const { id, change, nonce } = draft;
    const row = this.timeline.get(id);
    const { edit, takeBack } = await load('./composer.js');
    if (row) edit(row, (/** @type {string} */ text) => this.write({ id, change: { text } }), change?.text);
    else takeBack(draft);
    this.#discard(nonce);
  }

  /** Shows the reader's unacknowledged changes of a message. @param {Draft} draft of one */
  async #preview({ room, id }) {
    if (!id) return;
    const mine = this.#in(room).filter((draft) => draft.id === id);
    const last = mine.at(-1);
    if (last) {
      previews.set(id, {
        changed: (message) => mine.reduce(changed, message),
        tell: (row) => {
          row.item.classList.toggle('deleted', last.change === null);
          this.#tell(row, last);
        },
      });
    } else {
      previews.delete(id);
      const row = this.timeline.get(id);
      row?.item.classList.remove('deleted');
      if (row) tell(row, '');
    }
    await prepare([{ edited: 1 }]);
    this.timeline.draw(id);
  }
}

/** @param {Message} message @param {Draft} draft @returns {Message} */
function changed(message, { change, at }) {
  if (!change) return message; // the row hides it
  const { react, unreact, text } = change;
  if (text !== undefined) return { ...message, text, edited: at };
  const emoji = react ?? unreact ?? '';
  const { [emoji]: { count, by } = { count: 0, by: [] }, ...others } = message.reactions ?? {};
  const my = me(message.room);
  const isThere = by.includes(my);
  const now = { count: count + (react && !isThere ? 1 : unreact && isThere ? -1 : 0), by: by.filter((tag) => tag !== my).concat(react ? my : []) };
  return { ...message, reactions: { ...others, ...now.count > 0 && { [emoji]: now } } };
}

/** @type {Tell} */
function tell({ item }, state, text = '', choices = {}) {
  item.classList.toggle('pending', state === 'pending');
  item.classList.toggle('failed', state === 'failed');
  const old = item.querySelector('.fate');
  if (!text) {
    old?.remove();
    return null;
  }
  const fate = make('p', { class: 'fate' }, text, ...Object.entries(choices).flatMap(([word, onclick]) => [' ', button(say(word), onclick)]));
  if (old?.isEqualNode(fate)) return old;
  keepFocus(item, () => {
    old?.remove();
    item.append(fate);
  });
  return fate;
}

/** Until the server accepts it again. @param {Element} fate @param {number} until */
function countDown(fate, until) {
  const seconds = Math.ceil((until - Date.now()) / 1000);
  // unlike a new node, it is not read out each second
  if (fate.firstChild) fate.firstChild.nodeValue = seconds > 0 ? say('waits', seconds) : say('sending');
  if (seconds > 0) setTimeout(() => fate.isConnected && countDown(fate, until), 1000);
}
