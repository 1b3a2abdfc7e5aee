/** Which operations this gateway has: what it answers with 404 is not offered. */
import { SvelteSet } from 'svelte/reactivity';

const missing = new SvelteSet<string>();
let known = $state(false);

export const offers = {
  /** Whether the first answer has come: before it, nothing that depends on it is shown. */
  get known(): boolean {
    return known;
  },
  has: (operation: string): boolean => known && !missing.has(operation),
  missing(operation: string): void {
    missing.add(operation);
  },
  /** Asks for one operation; without it, those of `all` are missing, too. */
  async learn(ask: () => Promise<unknown>, operation: string, all: readonly string[] = []): Promise<void> {
    try {
      await ask();
    } catch (error) {
      const { status } = error as { status?: unknown };
      if (status === 404) [operation, ...all].forEach((it) => missing.add(it));
    }
    known = true;
  },
};
