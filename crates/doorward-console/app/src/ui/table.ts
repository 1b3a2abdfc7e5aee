import type { Snippet } from 'svelte';
import type { Page } from '../api/client';
import type { Sortable } from '../lib/sort';

export interface Column<T> {
  id: string;
  name: string;
  /** A track of CSS grid: `minmax(160px, 2fr)`. */
  width: string;
  /** What is shown, sorted by and searched in, unless `cell` draws it. */
  value: (row: T) => Sortable;
  cell?: Snippet<[T]>;
  end?: boolean;
  /** Not sorted by. */
  unsorted?: boolean;
}

/** Fetches a page: `pages('/admin/v1/keys')` makes one. */
export type Source<T> = (cursor: string | undefined, limit: number, signal: AbortSignal) => Promise<Page<T>>;
