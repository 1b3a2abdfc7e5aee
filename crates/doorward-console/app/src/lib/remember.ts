/** Small choices that this browser keeps, such as the theme. Never data of the gateway. */
const PREFIX = 'doorward.';

export function recall(name: 'theme' | 'recent' | 'sidebar'): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function remember(name: 'theme' | 'recent' | 'sidebar', value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // A browser that keeps nothing.
  }
}
