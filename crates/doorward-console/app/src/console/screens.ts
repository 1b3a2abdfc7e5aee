/** The console's screens, in the order of the sidebar: one line each. */
import type { Screen } from '../lib/screens';

export const screens: Screen[] = [
  { path: '', name: 'Overview', icon: 'overview', group: 'now', letter: 'o', load: () => import('./Overview.svelte') },
  { path: 'servers', name: 'Servers', icon: 'servers', group: 'use', may: 'view', letter: 's', waits: 'servers', load: () => import('./Servers.svelte') },
];
