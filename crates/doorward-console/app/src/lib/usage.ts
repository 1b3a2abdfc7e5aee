/** Usage as the API reports it, over time and by groups. */

export interface UsageRow {
  group: string[];
  calls: number;
  failed: number;
  price: string;
  bytes: number;
  upstream_ms: number;
}
export type Metric = 'calls' | 'failed' | 'price' | 'bytes' | 'upstream_ms';

export const amount = (row: UsageRow, metric: Metric): number => (metric === 'price' ? Number(row.price) : row[metric]);

/** The beginning of an hour, day or month as the API names it, in seconds since 1970. */
export function bucketTime(bucket: string): number | null {
  const found = /^(\d{4})-(\d\d)(?:-(\d\d))?(?:[T ](\d\d)(?::?(\d\d))?.*)?$/.exec(bucket);
  if (!found) return null;
  const [, year, month, day = '1', hour = '0'] = found;
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour)) / 1000;
}

export interface Series {
  times: number[];
  series: { name: string; values: number[] }[];
}

/** The largest groups over a time, and the rest as one. Rows are grouped by time first. */
export function overTime(rows: readonly UsageRow[], metric: Metric, step: number, most: number, rest: string, range?: { from: number; to: number }): Series {
  const totals = new Map<string, number>();
  const at = new Map<number, Map<string, number>>();
  for (const row of rows) {
    const time = bucketTime(row.group[0] ?? '');
    if (time === null) continue;
    const group = row.group.slice(1).join(' / ');
    const value = amount(row, metric);
    totals.set(group, (totals.get(group) ?? 0) + value);
    const here = at.get(time) ?? new Map<string, number>();
    here.set(group, (here.get(group) ?? 0) + value);
    at.set(time, here);
  }
  const stored = [...at.keys()];
  if (stored.length === 0) return { times: [], series: [] };
  const times: number[] = [];
  const [first, last] = [Math.min(range?.from ?? Infinity, ...stored), Math.max(range?.to ?? -Infinity, ...stored)];
  // Hours and days without a call are there, too.
  for (let time = first; time <= last && times.length < 5_000; time += step) times.push(time);
  const names = [...totals].toSorted((a, b) => b[1] - a[1]).map(([name]) => name);
  const shown = names.length > most ? names.slice(0, most - 1) : names;
  const others = names.slice(shown.length);
  const values = (groups: readonly string[]): number[] =>
    times.map((time) => groups.reduce((sum, group) => sum + (at.get(time)?.get(group) ?? 0), 0));
  return {
    times,
    series: [...shown.map((name) => ({ name, values: values([name]) })), ...(others.length > 0 ? [{ name: rest, values: values(others) }] : [])],
  };
}
