/** Which rows of a long list are drawn. */
export interface Window {
  first: number;
  /** One beyond the last. */
  end: number;
  before: number;
  after: number;
}

const BEYOND = 8;

export function window(rows: number, height: number, scrolled: number, visible: number): Window {
  const top = Math.max(0, Math.min(scrolled, Math.max(0, rows * height - visible)));
  const first = Math.max(0, Math.floor(top / height) - BEYOND);
  const end = Math.min(rows, Math.ceil((top + visible) / height) + BEYOND);
  return { first, end, before: first * height, after: (rows - end) * height };
}

/** Where to scroll so that a row can be seen, or `null` if it can be already. */
export function reveal(row: number, height: number, scrolled: number, visible: number): number | null {
  const top = row * height;
  if (top < scrolled) return top;
  return top + height > scrolled + visible ? top + height - visible : null;
}
