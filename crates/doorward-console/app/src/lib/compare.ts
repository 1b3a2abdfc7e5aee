/** What differs between two JSON values, member by member. */

export interface Difference {
  /** A path for people: `arguments.items[2].name`. */
  path: string;
  /** As JSON; `null` where there is no such member. */
  before: string | null;
  after: string | null;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** At most `most` differences; members of `except` at the top are left out. */
export function differences(before: unknown, after: unknown, except: readonly string[] = [], most = 500): { found: Difference[]; more: boolean } {
  const found: Difference[] = [];
  let more = false;
  const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
  const add = (a: unknown, b: unknown, path: string): void => {
    if (more) return;
    if (isObject(a) && isObject(b)) {
      for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
        if (path === '' && except.includes(name)) continue;
        add(a[name], b[name], path === '' ? name : `${path}.${name}`);
      }
    } else if (Array.isArray(a) && Array.isArray(b)) {
      for (let at = 0; at < Math.max(a.length, b.length); at += 1) add(a[at], b[at], `${path}[${at}]`);
    } else if (json(a) !== json(b)) {
      if (found.length >= most) more = true;
      else found.push({ path, before: json(a), after: json(b) });
    }
  };
  add(before, after, '');
  return { found, more };
}
