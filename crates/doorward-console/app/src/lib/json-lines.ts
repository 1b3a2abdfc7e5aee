/** A JSON value as lines that can be folded, of which only those in sight are drawn. */
export interface JsonLine {
  path: string;
  depth: number;
  key: string | null;
  /** The value on this line: a scalar, or an opening or closing bracket. */
  text: string;
  kind: 'string' | 'literal' | 'bracket';
  /** For what can be folded: how many items it has, and whether it is. */
  items?: number;
  folded?: boolean;
  comma: boolean;
}

const LONGEST = 2_000;

export function lines(value: unknown, folded: (path: string, depth: number, items: number) => boolean): JsonLine[] {
  const found: JsonLine[] = [];
  const add = (value: unknown, path: string, key: string | null, depth: number, comma: boolean): void => {
    if (typeof value !== 'object' || value === null) {
      const text = JSON.stringify(value) ?? 'null';
      const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length})` : text;
      found.push({ path, depth, key, text: cut, kind: typeof value === 'string' ? 'string' : 'literal', comma });
      return;
    }
    const isList = Array.isArray(value);
    const entries: [string, unknown][] = isList ? value.map((it, at) => [String(at), it]) : Object.entries(value);
    const [open, close] = isList ? ['[', ']'] : ['{', '}'];
    if (entries.length === 0) {
      found.push({ path, depth, key, text: open + close, kind: 'bracket', comma });
      return;
    }
    const isFolded = folded(path, depth, entries.length);
    found.push({ path, depth, key, text: isFolded ? `${open} … ${close}` : open, kind: 'bracket', items: entries.length, folded: isFolded, comma: isFolded && comma });
    if (isFolded) return;
    entries.forEach(([name, it], at) => add(it, `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, isList ? null : name, depth + 1, at < entries.length - 1));
    found.push({ path: `${path} end`, depth, key: null, text: close, kind: 'bracket', comma });
  };
  add(value, '', null, 0, false);
  return found;
}
