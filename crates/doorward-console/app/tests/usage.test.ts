import { describe, expect, it } from 'vitest';
import { cell, csv } from '../src/lib/csv';
import { bucketTime, overTime, type UsageRow } from '../src/lib/usage';

const row = (group: string[], calls: number): UsageRow => ({ group, calls, failed: 0, price: String(calls / 2), bytes: 0, upstream_ms: 0 });

describe('comma-separated values', () => {
  it('quote what has to be quoted', () => {
    expect(csv([['a', 'b"c', 'd,e', 3], ['x\ny', null, undefined, 'z']])).toBe('a,"b""c","d,e",3\r\n"x\ny",,,z\r\n');
  });
  it('are never formulas', () => {
    for (const bad of ['=1+1', '+cmd', '-cmd', '@SUM(A1)', '\tx', ' =1+1', '\n=1', '\uff1d1+1', '-1+1']) expect(cell(bad).replace(/^"/, '').startsWith("'")).toBe(true);
    expect(cell('-1.5')).toBe('-1.5');
    expect(cell(-2)).toBe('-2');
  });
});

describe('usage over time', () => {
  it('knows the API’s names of times', () => {
    expect(bucketTime('2026-11-29')).toBe(Date.UTC(2026, 10, 29) / 1000);
    expect(bucketTime('2026-11-29T14')).toBe(Date.UTC(2026, 10, 29, 14) / 1000);
    expect(bucketTime('2026-11-29T14:00:00Z')).toBe(Date.UTC(2026, 10, 29, 14) / 1000);
    expect(bucketTime('2026-11')).toBe(Date.UTC(2026, 10, 1) / 1000);
    expect(bucketTime('mail')).toBeNull();
  });
  it('fills gaps, and puts the small together', () => {
    const rows = [row(['2026-01-01', 'a'], 5), row(['2026-01-03', 'a'], 1), row(['2026-01-01', 'b'], 3), row(['2026-01-03', 'c'], 2)];
    const found = overTime(rows, 'calls', 86_400, 2, 'others');
    expect(found.times).toHaveLength(3);
    expect(found.series).toEqual([{ name: 'a', values: [5, 0, 1] }, { name: 'others', values: [3, 0, 2] }]);
    expect(overTime(rows, 'price', 86_400, 4, 'others').series.map((it) => it.values[0])).toEqual([2.5, 1.5, 0]);
    // One day of a longer time is shown in that time.
    const range = { from: Date.UTC(2025, 11, 31) / 1000, to: Date.UTC(2026, 0, 2) / 1000 };
    expect(overTime(rows.slice(0, 1), 'calls', 86_400, 2, 'others', range)).toMatchObject({ times: { length: 3 }, series: [{ name: 'a', values: [0, 5, 0] }] });
  });
});
