import { Problem } from '../api/problem';

export interface Toast {
  id: number;
  tone: 'ok' | 'bad' | 'info';
  title: string;
  text?: string;
}

const MOST = 4;
let next = 0;
let list = $state<Toast[]>([]);

function add(toast: Omit<Toast, 'id'>, lasts: number): void {
  next += 1;
  const id = next;
  list = [...list.slice(1 - MOST), { id, ...toast }];
  if (lasts > 0) setTimeout(() => toasts.close(id), lasts);
}

export const toasts = {
  get list(): Toast[] {
    return list;
  },
  done: (title: string, text?: string): void => add({ tone: 'ok', title, ...(text ? { text } : {}) }, 5_000),
  info: (title: string, text?: string): void => add({ tone: 'info', title, ...(text ? { text } : {}) }, 6_000),
  /** A problem stays until it is closed. */
  problem(error: unknown): void {
    const problem = Problem.of(error);
    add({ tone: 'bad', title: problem.title, text: [problem.detail, problem.advice].filter(Boolean).join(' — ') }, 0);
  },
  close(id: number): void {
    list = list.filter((it) => it.id !== id);
  },
};
