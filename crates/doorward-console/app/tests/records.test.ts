import { describe, expect, it } from 'vitest';
import { collect } from '../src/lib/collect';
import { differences } from '../src/lib/compare';
import { csv } from '../src/lib/csv';
import { asLines, asTable } from '../src/lib/records';

describe('two records', () => {
  it('differ in members, at any depth', () => {
    const before = { seq: 1, user: 'ada', same: [1, 2], args: { a: 1, list: [1, { x: 'y' }] } };
    const after = { seq: 2, same: [1, 2], args: { a: 1, list: [1, { x: 'z' }, 3] }, error: null };
    expect(differences(before, after, ['seq']).found).toEqual([
      { path: 'user', before: '"ada"', after: null },
      { path: 'args.list[1].x', before: '"y"', after: '"z"' },
      { path: 'args.list[2]', before: null, after: '3' },
      { path: 'error', before: null, after: 'null' },
    ]);
    expect(differences(before, before)).toEqual({ found: [], more: false });
  });
  it('are compared within a bound', () => {
    const compared = differences({}, Object.fromEntries(Array.from({ length: 10 }, (_, at) => [`m${at}`, at])), [], 3);
    expect([compared.found.length, compared.more]).toEqual([3, true]);
  });
});

describe('what a search found', () => {
  const records = Array.from({ length: 25 }, (_, seq) => ({ writer: 'w', seq, at: 'now', user: seq === 3 ? '=cmd()' : 'ada', policies: ['a', 'b'] }));
  const source = async (cursor: string | undefined) => {
    const from = Number(cursor ?? 0);
    return { items: records.slice(from, from + 10), next_cursor: from + 10 < records.length ? String(from + 10) : null };
  };
  const { signal } = new AbortController();
  it('is collected page by page', async () => {
    expect(await collect(source, { items: 100, characters: 1e6 }, signal)).toEqual({ items: records, cut: false });
  });
  it('is cut at its bounds, and says so', async () => {
    expect(await collect(source, { items: 25, characters: 1e6 }, signal)).toMatchObject({ cut: false });
    expect(await collect(source, { items: 24, characters: 1e6 }, signal)).toEqual({ items: records.slice(0, 24), cut: true });
    expect((await collect(source, { items: 100, characters: 300 }, signal)).cut).toBe(true);
  });
  it('becomes lines and a table that runs nothing', () => {
    expect(asLines(records).trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)).toEqual(records);
    const table = csv(asTable(records)).split('\r\n');
    expect(table[0]?.startsWith('who,at,kind')).toBe(true);
    expect(table[4]?.startsWith("'=cmd(),now")).toBe(true);
    expect(table[1]).toContain(',a b,');
  });
});
