/** What a screen is: an address, a name, who sees it, and the file that draws it. */
import type { Component } from 'svelte';
import type { IconName } from '../ui/icons';

export interface ScreenProps {
  /** The segments of the address behind the screen's own: `/console/servers/mail` → `['mail']`. */
  rest: string[];
}

export interface Screen {
  /** The first segment of the address; empty for the start. */
  path: string;
  name: string;
  icon: IconName;
  group: 'now' | 'mine' | 'use' | 'guard' | 'see' | 'run';
  /** The action that shows it; with none, everybody who is signed in sees it. */
  may?: string;
  /** The operation that it needs: without it, the screen is not offered. */
  offered?: string;
  /** The letter after `g`. */
  letter?: string;
  /** What waits there, from the stream of events. */
  waits?: 'approvals' | 'servers' | 'requests';
  load: () => Promise<{ default: Component<ScreenProps> }>;
}
