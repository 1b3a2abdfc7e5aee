/** JSON as clients write it: with comments, commas before a closing bracket, and a byte order mark. */

/** What is missing or wrong at a place, as a member of `texts.add.file.json`. */
export type JsonFault = 'value' | 'name' | 'colon' | 'comma' | 'string' | 'comment' | 'deep' | 'after' | 'end';
const MOST_DEPTH = 100;

class Fault extends Error {
  constructor(readonly kind: JsonFault) {
    super(kind);
  }
}

class Reader {
  at = 0;
  constructor(readonly text: string) {
    if (text.startsWith('\ufeff')) this.at = 1;
  }

  /** The next letter that is neither space nor comment. */
  next(): string | undefined {
    for (;;) {
      while (/[ \t\n\r]/.test(this.text[this.at] ?? '')) this.at += 1;
      if (this.text.startsWith('//', this.at)) {
        const end = this.text.indexOf('\n', this.at);
        this.at = end < 0 ? this.text.length : end;
      } else if (this.text.startsWith('/*', this.at)) {
        const end = this.text.indexOf('*/', this.at + 2);
        if (end < 0) throw new Fault('comment');
        this.at = end + 2;
      } else return this.text[this.at];
    }
  }

  value(depth: number): unknown {
    if (depth > MOST_DEPTH) throw new Fault('deep');
    const it = this.next();
    if (it === '{') return this.object(depth);
    if (it === '[') return this.array(depth);
    if (it === '"') return this.string();
    const word = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/.exec(this.text.slice(this.at, this.at + 400))?.[0];
    if (word === undefined) throw new Fault(it === undefined ? 'end' : 'value');
    this.at += word.length;
    return JSON.parse(word) as unknown;
  }

  string(): string {
    const found = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
    found.lastIndex = this.at;
    const text = found.exec(this.text)?.[0];
    if (text === undefined) throw new Fault('string');
    this.at += text.length;
    return JSON.parse(text) as string;
  }

  /** Goes behind a comma; true at the end of what is listed. */
  ends(close: string): boolean {
    const it = this.next();
    if (it === ',') {
      this.at += 1;
      if (this.next() !== close) return false;
    } else if (it !== close) throw new Fault(it === undefined ? 'end' : 'comma');
    this.at += 1;
    return true;
  }

  array(depth: number): unknown[] {
    this.at += 1;
    const items: unknown[] = [];
    if (this.next() === ']') this.at += 1;
    else do items.push(this.value(depth + 1)); while (!this.ends(']'));
    return items;
  }

  /** Any name is a member of its own, `__proto__` too. */
  object(depth: number): Record<string, unknown> {
    this.at += 1;
    const members: [string, unknown][] = [];
    if (this.next() === '}') this.at += 1;
    else
      do {
        const first = this.next();
        if (first !== '"') throw new Fault(first === undefined ? 'end' : 'name');
        const name = this.string();
        if (this.next() !== ':') throw new Fault('colon');
        this.at += 1;
        members.push([name, this.value(depth + 1)]);
      } while (!this.ends('}'));
    return Object.fromEntries(members);
  }
}

/** The value, or the line, from 1, at which it ends to be one. Nothing of the text is quoted: it may hold secrets. */
export function parseJsonc(text: string): { value: unknown } | { line: number; fault: JsonFault } {
  const reader = new Reader(text);
  try {
    const value = reader.value(0);
    if (reader.next() !== undefined) throw new Fault('after');
    return { value };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { line: text.slice(0, reader.at).split('\n').length, fault: error.kind };
  }
}
