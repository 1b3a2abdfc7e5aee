/** What is loaded for a screen, again whenever what it depends on changes. */
import { untrack } from 'svelte';
import { Problem } from '../api/problem';

export class Resource<T> {
  data = $state.raw<T | undefined>(undefined);
  problem = $state.raw<Problem | null>(null);
  loading = $state(true);
  #load: (signal: AbortSignal) => Promise<T>;
  #abort: AbortController | null = null;

  constructor(load: (signal: AbortSignal) => Promise<T>) {
    this.#load = load;
    $effect(() => {
      void this.#run();
      return () => this.#abort?.abort();
    });
  }

  reload(): Promise<void> {
    return untrack(() => this.#run());
  }

  async #run(): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    // Called before the first await: what it reads is what it depends on.
    const promise = this.#load(abort.signal);
    untrack(() => {
      this.loading = true;
    });
    try {
      const data = await promise;
      if (abort.signal.aborted) return;
      this.data = data;
      this.problem = null;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.problem = Problem.of(error);
    }
    this.loading = false;
  }
}

/** Within a component: loads at once, and again when what `load` reads synchronously changes. */
export const resource = <T>(load: (signal: AbortSignal) => Promise<T>): Resource<T> => new Resource(load);
