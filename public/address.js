// The page's own address: ?room=<name> and ?lang=ko|en.

import { Source } from './dom.js';
import { roomName } from './name.js';
import { attempt } from './remember.js';

export const LOBBY = 'lobby';

/** @param {string} room */
export function roomAddress(room) {
  const address = new URL(location.href);
  if (room === LOBBY) address.searchParams.delete('room');
  else address.searchParams.set('room', room);
  address.hash = '';
  return address.pathname + address.search;
}

class Address extends Source {
  constructor() {
    super();
    this.asked = '';
    this.room = '';
    this.#read();
    addEventListener('popstate', () => {
      this.#read();
      this.emit('room', this.room);
    });
  }

  #read() {
    this.asked = new URLSearchParams(location.search).get('room') ?? LOBBY;
    this.room = roomName(this.asked);
  }

  /** @param {string} room */
  go(room) {
    if (room === this.room) return;
    attempt(() => history.pushState(null, '', roomAddress(room)));
    this.asked = this.room = room;
    this.emit('room', room);
  }
}

export const address = new Address();
