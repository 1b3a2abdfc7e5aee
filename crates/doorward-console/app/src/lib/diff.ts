/** Differences between two texts, word by word, by the shortest edit script. */
export interface Piece {
  is: 'both' | 'old' | 'new';
  text: string;
}

const MOST = 4_000;

/** Pieces of two lists in order. Long lists are compared within their common start and end alone. */
function pieces(before: string[], after: string[]): Piece[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let ends = 0;
  while (
    ends < before.length - start &&
    ends < after.length - start &&
    before[before.length - 1 - ends] === after[after.length - 1 - ends]
  ) ends += 1;
  const old = before.slice(start, before.length - ends);
  const now = after.slice(start, after.length - ends);
  const found: Piece[] = [];
  const add = (is: Piece['is'], text: string): void => {
    const last = found[found.length - 1];
    if (text === '') return;
    if (last && last.is === is) last.text += text;
    else found.push({ is, text });
  };
  add('both', before.slice(0, start).join(''));
  if (old.length * now.length > MOST * MOST || old.length + now.length > 2 * MOST) {
    add('old', old.join(''));
    add('new', now.join(''));
  } else {
    const wide = now.length + 1;
    const table = new Uint16Array((old.length + 1) * wide);
    for (let i = old.length - 1; i >= 0; i -= 1) {
      for (let j = now.length - 1; j >= 0; j -= 1) {
        table[i * wide + j] =
          old[i] === now[j]
            ? (table[(i + 1) * wide + j + 1] ?? 0) + 1
            : Math.max(table[(i + 1) * wide + j] ?? 0, table[i * wide + j + 1] ?? 0);
      }
    }
    let i = 0;
    let j = 0;
    while (i < old.length || j < now.length) {
      if (i < old.length && j < now.length && old[i] === now[j]) {
        add('both', old[i] ?? '');
        i += 1;
        j += 1;
      } else if (i < old.length && (j >= now.length || (table[(i + 1) * wide + j] ?? 0) >= (table[i * wide + j + 1] ?? 0))) {
        add('old', old[i] ?? '');
        i += 1;
      } else {
        add('new', now[j] ?? '');
        j += 1;
      }
    }
  }
  add('both', before.slice(before.length - ends).join(''));
  return found;
}

export const byWords = (before: string, after: string): Piece[] =>
  pieces(before.match(/\w+|\s+|[^\w\s]/g) ?? [], after.match(/\w+|\s+|[^\w\s]/g) ?? []);
