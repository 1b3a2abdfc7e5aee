/** The portal's screens, in the order of the sidebar: one line each. */
import type { Screen } from '../lib/screens';
import { texts } from '../texts';

const names = texts.screens.portal;
export const screens: Screen[] = [
  { path: '', name: names.home, icon: 'overview', group: 'now', letter: 'h', offered: 'me', load: () => import('./Home.svelte') },
  { path: 'tools', name: names.tools, icon: 'tool', group: 'now', letter: 't', load: () => import('./Tools.svelte') },
  { path: 'connect', name: names.connect, icon: 'connect', group: 'now', letter: 'c', load: () => import('./Connect.svelte') },
  { path: 'playground', name: names.playground, icon: 'playground', group: 'now', letter: 'p', load: () => import('./Playground.svelte') },
  { path: 'requests', name: names.requests, icon: 'requests', group: 'now', letter: 'r', offered: 'requests', load: () => import('./Requests.svelte') },
  { path: 'approvals', name: names.approvals, icon: 'approvals', group: 'now', letter: 'v', offered: 'approvals', load: () => import('./Approvals.svelte') },
  { path: 'keys', name: names.keys, icon: 'key', group: 'mine', letter: 'k', offered: 'keys', load: () => import('./Keys.svelte') },
  { path: 'accounts', name: names.accounts, icon: 'external', group: 'mine', letter: 'o', offered: 'accounts', load: () => import('./Accounts.svelte') },
  { path: 'usage', name: names.usage, icon: 'limits', group: 'mine', letter: 'u', offered: 'usage', load: () => import('./Usage.svelte') },
  { path: 'sessions', name: names.sessions, icon: 'live', group: 'mine', letter: 's', offered: 'sessions', load: () => import('./Sessions.svelte') },
  { path: 'account', name: names.account, icon: 'user', group: 'mine', letter: 'a', load: () => import('./Account.svelte') },
];
