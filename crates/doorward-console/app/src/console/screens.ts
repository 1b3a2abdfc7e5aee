/** The console's screens, in the order of the sidebar: one line each. */
import type { Screen } from '../lib/screens';
import { texts } from '../texts';

const names = texts.screens.console;
export const screens: Screen[] = [
  { path: '', name: names.overview, icon: 'overview', group: 'now', letter: 'o', load: () => import('./Overview.svelte') },
  { path: 'servers', name: names.servers, icon: 'servers', group: 'use', may: 'view', letter: 's', waits: 'servers', load: () => import('./Servers.svelte') },
  { path: 'add', name: names.add, icon: 'plus', group: 'use', may: 'propose', letter: 'n', load: () => import('./Add.svelte') },
  { path: 'catalogue', name: names.catalogue, icon: 'catalogue', group: 'use', may: 'view', letter: 'c', load: () => import('./Catalogue.svelte') },
  { path: 'portals', name: names.portals, icon: 'portals', group: 'use', may: 'view', letter: 'w', load: () => import('./Portals.svelte') },
  { path: 'playground', name: names.playground, icon: 'playground', group: 'use', letter: 'y', load: () => import('./Playground.svelte') },
  { path: 'approvals', name: names.approvals, icon: 'approvals', group: 'guard', may: 'view', letter: 'a', waits: 'approvals', load: () => import('./Approvals.svelte') },
  { path: 'requests', name: names.requests, icon: 'requests', group: 'guard', may: 'view', letter: 'q', waits: 'requests', offered: 'requests', load: () => import('./Requests.svelte') },
  { path: 'policies', name: names.policies, icon: 'policies', group: 'guard', may: 'view', letter: 'p', load: () => import('./Policies.svelte') },
  { path: 'identities', name: names.identities, icon: 'identities', group: 'guard', may: 'view', letter: 'i', load: () => import('./Identities.svelte') },
  { path: 'live', name: names.live, icon: 'live', group: 'see', may: 'view', letter: 'l', load: () => import('./Live.svelte') },
  { path: 'audit', name: names.audit, icon: 'audit', group: 'see', may: 'read_audit', letter: 'r', load: () => import('./Audit.svelte') },
  { path: 'limits', name: names.limits, icon: 'limits', group: 'see', may: 'view', letter: 'm', load: () => import('./Limits.svelte') },
  { path: 'settings', name: names.settings, icon: 'settings', group: 'run', may: 'view', letter: 'e', load: () => import('./Settings.svelte') },
];
