/** Reads the lines of a stream and its last id. */
export class Lines {
  last = '';
  #rest = '';
  #event = {};

  /** Forgets what a connection has left unfinished. */
  begin() {
    this.#rest = '';
    this.#event = {};
    return this.last ? { 'last-event-id': this.last } : {};
  }

  /** @param {string} text @param {(event: string, data: string) => void} take */
  read(text, take) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) {
      const { id = this.last, event = 'message', data } = this.#event;
      if (line) {
        const [field, ...value] = line.split(': ');
        this.#event[field] = value.join(': ');
        continue;
      }
      this.last = id;
      this.#event = {};
      if (data !== undefined) take(event, data);
    }
  }
}
