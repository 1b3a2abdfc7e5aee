/** Where the person is: the history API, and nothing else. */
import { tick } from 'svelte';
import { address, parse, type Query, type Route } from './route';

export const base = new URL(document.baseURI).pathname;
export const face: 'console' | 'portal' = base.startsWith('/portal/') ? 'portal' : 'console';

const here = (): Route =>
  parse(base, location.pathname, location.search) ?? { segments: [], query: new URLSearchParams() };

let current = $state.raw<Route>(here());

export const router = {
  get segments(): string[] {
    return current.segments;
  },
  get query(): URLSearchParams {
    return current.query;
  },
  /** The path with its query, to come back to. */
  get path(): string {
    void current;
    return location.pathname + location.search;
  },
};

/** The address of a screen: `href('servers', name)`. */
export const href = (...segments: string[]): string => address(base, segments);
/** The address of a screen with a query: `to(['audit'], { server })`. */
export const to = (segments: readonly string[], query: Query): string => address(base, segments, query);

/** Goes to an address below the base; others are left to the browser. */
export function go(target: string, how: { replace?: boolean; focus?: boolean } = {}): void {
  const url = new URL(target, document.baseURI);
  const next = url.origin === location.origin ? parse(base, url.pathname, url.search) : null;
  if (!next) {
    location.assign(url);
    return;
  }
  const screen = current.segments.join('/');
  if (how.replace) history.replaceState(null, '', url);
  else if (url.href !== location.href) history.pushState(null, '', url);
  current = next;
  if (how.focus !== false && next.segments.join('/') !== screen) void arrive();
}

/** Changes parts of the query in place. What is empty is removed. */
export function setQuery(changes: Query, how: { push?: boolean } = {}): void {
  const query = Object.fromEntries(current.query) as Query;
  go(address(base, current.segments, { ...query, ...changes }), { replace: !how.push, focus: false });
}

/** Moves the focus to the new screen's heading, as a page load does. */
async function arrive(): Promise<void> {
  await tick();
  window.scrollTo(0, 0);
  document.getElementById('main')?.focus({ preventScroll: true });
}

export function start(): void {
  addEventListener('popstate', () => {
    current = here();
  });
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.hasAttribute('download') || !link.href) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.hash) return;
    if (!parse(base, url.pathname, url.search) || url.pathname.startsWith(`${base}auth/`)) return;
    event.preventDefault();
    go(url.href);
  });
}
