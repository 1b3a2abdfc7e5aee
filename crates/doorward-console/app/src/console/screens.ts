/** The console's screens, in the order of the sidebar: one line each. */
import type { Screen } from '../lib/screens';

export const screens: Screen[] = [
  { path: '', name: 'Overview', icon: 'overview', group: 'now', letter: 'o', load: () => import('./Overview.svelte') },
  { path: 'servers', name: 'Servers', icon: 'servers', group: 'use', may: 'view', letter: 's', waits: 'servers', load: () => import('./Servers.svelte') },
  { path: 'catalogue', name: 'Catalogue', icon: 'catalogue', group: 'use', may: 'view', letter: 'c', load: () => import('./Catalogue.svelte') },
  { path: 'portals', name: 'Portals', icon: 'portals', group: 'use', may: 'view', letter: 'w', load: () => import('./Portals.svelte') },
  { path: 'playground', name: 'Playground', icon: 'playground', group: 'use', letter: 'y', load: () => import('./Playground.svelte') },
  { path: 'approvals', name: 'Approvals', icon: 'approvals', group: 'guard', may: 'view', letter: 'a', waits: 'approvals', load: () => import('./Approvals.svelte') },
  { path: 'policies', name: 'Policies', icon: 'policies', group: 'guard', may: 'view', letter: 'p', load: () => import('./Policies.svelte') },
  { path: 'identities', name: 'Identities', icon: 'identities', group: 'guard', may: 'view', letter: 'i', load: () => import('./Identities.svelte') },
  { path: 'live', name: 'Live', icon: 'live', group: 'see', may: 'view', letter: 'l', load: () => import('./Live.svelte') },
  { path: 'audit', name: 'Audit log', icon: 'audit', group: 'see', may: 'read_audit', letter: 'r', load: () => import('./Audit.svelte') },
  { path: 'limits', name: 'Limits and spend', icon: 'limits', group: 'see', may: 'view', letter: 'm', load: () => import('./Limits.svelte') },
  { path: 'settings', name: 'Settings', icon: 'settings', group: 'run', may: 'view', letter: 'e', load: () => import('./Settings.svelte') },
];
