/** The portal's screens, in the order of the sidebar: one line each. */
import type { Screen } from '../lib/screens';

export const screens: Screen[] = [];
