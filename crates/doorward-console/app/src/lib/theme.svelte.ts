import { recall, remember } from './remember';

export type Theme = 'system' | 'light' | 'dark';

const dark = matchMedia('(prefers-color-scheme: dark)');
const kept = recall('theme');
let chosen = $state<Theme>(kept === 'light' || kept === 'dark' ? kept : 'system');
let systemIsDark = $state(dark.matches);

export const theme = {
  get chosen(): Theme {
    return chosen;
  },
  get isDark(): boolean {
    return chosen === 'dark' || (chosen === 'system' && systemIsDark);
  },
  choose(next: Theme): void {
    chosen = next;
    remember('theme', next === 'system' ? null : next);
    show();
  },
};

function show(): void {
  document.documentElement.dataset.theme = theme.isDark ? 'dark' : 'light';
}

export function start(): void {
  dark.addEventListener('change', () => {
    systemIsDark = dark.matches;
    show();
  });
  show();
}
