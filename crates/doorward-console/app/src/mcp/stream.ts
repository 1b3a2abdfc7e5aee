/** Server-sent events of one answer: the data of each event, however the bytes arrive. */

/** One event may be so long, in characters. */
const LONGEST = 64 * 1024 * 1024;

export class EventParser {
  #rest = '';
  #data: string[] = [];
  #length = 0;
  #begun = false;

  /** The data of all events that this text completes. */
  push(text: string): string[] {
    if (!this.#begun && text !== '') {
      this.#begun = true;
      if (text.startsWith('\uFEFF')) text = text.slice(1);
    }
    const found: string[] = [];
    this.#rest += text;
    let from = 0;
    for (;;) {
      const end = this.#lineEnd(from);
      if (!end) break;
      this.#line(this.#rest.slice(from, end.at), found);
      from = end.next;
    }
    this.#rest = this.#rest.slice(from);
    if (this.#rest.length + this.#length > LONGEST) throw new RangeError('an event is too long');
    return found;
  }

  /** Where the line ends that begins there; a CR at the end of what came may be half of a CR LF. */
  #lineEnd(from: number): { at: number; next: number } | null {
    for (let at = from; at < this.#rest.length; at += 1) {
      const code = this.#rest.charCodeAt(at);
      if (code === 10) return { at, next: at + 1 };
      if (code !== 13) continue;
      if (at + 1 === this.#rest.length) return null;
      return { at, next: this.#rest.charCodeAt(at + 1) === 10 ? at + 2 : at + 1 };
    }
    return null;
  }

  #line(line: string, found: string[]): void {
    if (line === '') {
      if (this.#data.length > 0) found.push(this.#data.join('\n'));
      this.#data = [];
      this.#length = 0;
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== 'data') return;
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    this.#data.push(value);
    this.#length += value.length;
  }
}
