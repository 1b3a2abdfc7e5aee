/** Calls counted by second over the last minutes: what the overview draws. */
interface Second {
  at: number;
  calls: number;
  failed: number;
  refused: number;
  ms: number;
}

const REFUSED = new Set(['denied', 'rate_limited']);
/** Durations that the median is of. */
const SAMPLE = 2_000;

export class Seconds {
  #ring: Second[];
  #durations: number[] = [];
  #next = 0;

  constructor(readonly length: number) {
    this.#ring = Array.from({ length }, () => ({ at: 0, calls: 0, failed: 0, refused: 0, ms: 0 }));
  }

  add(now: number, outcome: string, ms: number): void {
    const at = Math.floor(now / 1000);
    const slot = this.#ring[at % this.length];
    if (!slot) return;
    if (slot.at !== at) Object.assign(slot, { at, calls: 0, failed: 0, refused: 0, ms: 0 });
    slot.calls += 1;
    slot.ms += ms;
    if (REFUSED.has(outcome)) slot.refused += 1;
    else if (outcome !== 'ok') slot.failed += 1;
    this.#durations[this.#next % SAMPLE] = ms;
    this.#next += 1;
  }

  series(now: number) {
    const last = Math.floor(now / 1000) - 1;
    const times: number[] = [];
    const ok: number[] = [];
    const bad: number[] = [];
    const ms: (number | null)[] = [];
    let [calls, failed, refused, minute] = [0, 0, 0, 0];
    for (let at = last - this.length + 2; at <= last; at += 1) {
      const slot = this.#ring[at % this.length];
      const found = slot?.at === at ? slot : null;
      times.push(at);
      const wrong = found ? found.failed + found.refused : 0;
      ok.push(found ? found.calls - wrong : 0);
      bad.push(wrong);
      ms.push(found && found.calls > 0 ? found.ms / found.calls : null);
      if (!found) continue;
      calls += found.calls;
      failed += found.failed;
      refused += found.refused;
      if (at > last - 60) minute += found.calls;
    }
    const durations = this.#durations.toSorted((a, b) => a - b);
    const at = (part: number): number | null => durations[Math.floor(durations.length * part)] ?? null;
    return { times, ok, bad, ms, calls, failed, refused, perSecond: minute / 60, median: at(0.5), p95: at(0.95) };
  }
}
