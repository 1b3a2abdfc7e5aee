/** The portal's screens, in the order of the sidebar: one line each. */
import type { Screen } from '../lib/screens';

export const screens: Screen[] = [
  { path: '', name: 'Tools', icon: 'tool', group: 'now', letter: 't', load: () => import('./Tools.svelte') },
  { path: 'connect', name: 'Connect', icon: 'connect', group: 'now', letter: 'c', load: () => import('./Connect.svelte') },
  { path: 'playground', name: 'Playground', icon: 'playground', group: 'now', letter: 'p', load: () => import('./Playground.svelte') },
  { path: 'account', name: 'Account', icon: 'user', group: 'now', letter: 'a', load: () => import('./Account.svelte') },
];
