/** Everything that a list has, page by page, within bounds that are said. */
import type { Page } from '../api/client';

export interface Bounds {
  items: number;
  characters: number;
}

export interface Collected<T> {
  items: T[];
  /** There is more than the bounds permit. */
  cut: boolean;
}

export async function collect<T>(
  source: (cursor: string | undefined, limit: number, signal: AbortSignal) => Promise<Page<T>>,
  bounds: Bounds,
  signal: AbortSignal,
  told: (count: number) => void = () => {},
): Promise<Collected<T>> {
  const items: T[] = [];
  let characters = 0;
  let cursor: string | undefined;
  do {
    const page = await source(cursor, Math.min(1_000, bounds.items), signal);
    for (const item of page.items) {
      characters += JSON.stringify(item).length;
      if (items.length >= bounds.items || characters > bounds.characters) return { items, cut: true };
      items.push(item);
    }
    told(items.length);
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return { items, cut: false };
}
