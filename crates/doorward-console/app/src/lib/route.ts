/** The address of a screen: pure parts of the router. */

export interface Route {
  /** Decoded segments below the face's base: `['servers', 'mail']`. */
  segments: string[];
  query: URLSearchParams;
}

/** The route of an address, or `null` if it lies outside the base. A segment that cannot be decoded stays as it is. */
export function parse(base: string, pathname: string, search: string): Route | null {
  if (pathname !== base.slice(0, -1) && !pathname.startsWith(base)) return null;
  const rest = pathname.slice(base.length);
  return { segments: rest.split('/').filter(Boolean).map(decode), query: new URLSearchParams(search) };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

/** The address of segments below a base. Empty members of the query are left out. */
export function address(base: string, segments: readonly string[], query: Query = {}): string {
  const path = segments.map(encodeURIComponent).join('/');
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '' && value !== false) search.set(name, String(value));
  }
  const text = search.toString();
  return base + path + (text ? `?${text}` : '');
}

/** A path to return to after signing in: below the base, and nothing else. */
export function returnPath(base: string, wanted: string | null): string {
  if (!wanted || !wanted.startsWith(base) || wanted.includes('\\') || wanted.includes('//')) return base;
  return wanted;
}

/** What a server or user names as an address, if a link may lead there. */
export function safeUrl(text: string | null | undefined): string | undefined {
  if (!text) return undefined;
  try {
    const url = new URL(text);
    return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : undefined;
  } catch {
    return undefined;
  }
}
