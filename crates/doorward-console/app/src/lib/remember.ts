/** Small choices that this browser keeps, such as the theme, and the keys that its user trusts. Never data of the gateway. */
type Name = 'theme' | 'recent' | 'sidebar' | 'audit-keys';
const PREFIX = 'doorward.';

export function recall(name: Name): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function remember(name: Name, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // A browser that keeps nothing.
  }
}
