/** Orders and filters rows that are all here. */
export type Sortable = string | number | boolean | null | undefined;

export interface Order {
  column: string;
  down: boolean;
}

export const parseOrder = (text: string | null): Order | null =>
  text ? (text.startsWith('-') ? { column: text.slice(1), down: true } : { column: text, down: false }) : null;
export const orderText = (order: Order | null): string => (order ? (order.down ? '-' : '') + order.column : '');

const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** What is absent comes last in both directions. */
export function compare(a: Sortable, b: Sortable): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return collator.compare(String(a), String(b));
}

export function sorted<T>(rows: readonly T[], value: (row: T) => Sortable, down: boolean): T[] {
  const keyed = rows.map((row, at) => ({ row, at, key: value(row) }));
  const absent = (key: Sortable): boolean => key === null || key === undefined || key === '';
  keyed.sort((a, b) => {
    if (absent(a.key) || absent(b.key)) return Number(absent(a.key)) - Number(absent(b.key)) || a.at - b.at;
    return (down ? -1 : 1) * compare(a.key, b.key) || a.at - b.at;
  });
  return keyed.map((it) => it.row);
}

/** Whether all words of a query occur somewhere in a text, in any order and case. */
export function matches(text: string, query: string): boolean {
  const lower = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}
