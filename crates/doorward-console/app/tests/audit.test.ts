import { describe, expect, it } from 'vitest';
import { base64url, fromBase64url, hashed, readLine, repeats, sha256 } from '../src/audit/line';
import { readKey, type Keys } from '../src/audit/signed';
import { Verifier, type Report } from '../src/audit/verify';
import audit from './fixtures/audit.jsonl?raw';
import { cases, tampered } from './fixtures/cases.mjs';
import evidence from './fixtures/record-verification.json';
import expected from './fixtures/tampered.json';

const lines = audit.trimEnd().split('\n');
const own = Object.values(evidence.keys)[0] ?? '';

async function keysOf(...texts: string[]): Promise<Keys> {
  const read = await Promise.all(texts.map(readKey));
  return new Map(read.flatMap((it) => (it ? [[it.id, it.key] as const] : [])));
}
async function verified(all: readonly string[], key = own, whole = false): Promise<Report> {
  const verifier = new Verifier(await keysOf(key), whole);
  for (const line of all) await verifier.gather(line);
  await verifier.check(all);
  return verifier.finish();
}
/** What files alone cannot show: that they begin earlier, and that a chain went on with a checkpoint of its own. */
const UNSEEN = ['nothing changed', 'the first record left out', 'the last records left out'];
const brief = (findings: readonly { writer: string; seq: number; fault: string }[]): string[] =>
  // The command line names what it has no chain for in words.
  findings.map(({ writer, seq, fault }) => `${fault === 'no_checkpoint' ? '' : writer} ${seq} ${fault}`).toSorted();

describe('records that the gateway has written', () => {
  it('are intact', async () => {
    const report = await verified(lines);
    expect(report.findings).toEqual([]);
    expect({ ...report, findings: [], more: 0 }).toEqual(evidence.report);
    expect((await verified(lines, own, true)).findings).toEqual([]);
  });
  it.each(Object.keys(cases))('tampered with are judged as the command line judges them: %s', async (name) => {
    const how = cases[name] ?? {};
    const report = await verified(tampered(lines, how), how.key);
    const wanted = (expected as unknown as Record<string, Report>)[name];
    expect(brief(report.findings)).toEqual(brief(wanted?.findings ?? []));
    expect(report.chains).toEqual(wanted?.chains);
    expect([report.records, report.removed, report.checkpoints]).toEqual([wanted?.records, wanted?.removed, wanted?.checkpoints]);
    expect(report.findings.length > 0).toBe(!UNSEEN.includes(name));
  });
  it('must begin with the first one, where all are handed out', async () => {
    const report = await verified(tampered(lines, cases['the first record left out'] ?? {}), own, true);
    expect(brief(report.findings)).toEqual(['acts 1 missing']);
  });
  it('are found changed at any byte', async () => {
    const text = lines[7] ?? '';
    const line = readLine(text);
    expect(line && (await sha256(hashed(text, line) ?? '')) === line.hash).toBe(true);
    const passed = await Promise.all([...text].map(async (_, at) => {
      const changed = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
      const read = readLine(changed);
      const body = read && hashed(changed, read);
      return body !== null && read !== null && (await sha256(body)) === read.hash ? [changed] : [];
    }));
    expect(passed.flat()).toEqual([]);
  });
  it('show the broken record and the hash that it should have', async () => {
    const report = await verified(tampered(lines, cases['a changed byte'] ?? {}));
    expect(report.findings[0]?.text).toContain('get_tickef');
    expect(report.findings[0]?.computed).toMatch(/^[\w-]{43}$/);
  });
  it('must contain what an anchor has seen', async () => {
    const anchored = async (anchor: readonly string[], all: readonly string[]): Promise<string[]> => {
      const verifier = new Verifier(await keysOf(own), false);
      await verifier.anchor('audit.anchor', anchor);
      for (const line of all) await verifier.gather(line);
      await verifier.check(all);
      return brief(verifier.finish().findings);
    };
    const checkpoints = lines.filter((it) => it.includes('"kind":"checkpoint"'));
    expect(await anchored(checkpoints, lines)).toEqual([]);
    // A chain cut off with all its checkpoints.
    const last = lines.at(-1) ?? '';
    const without = lines.slice(0, -2);
    expect(await anchored([last], without)).toContain('6b0cb31c-d04ec266 6 cut_off');
    expect(await anchored([], lines)).toEqual(['audit.anchor 0 no_anchor']);
    expect(await anchored([last.replace('"open":7', '"open":8')], lines)).toEqual(['audit.anchor 1 bad_anchor']);
  });
  it('prove nothing without a key', async () => {
    const verifier = new Verifier(new Map(), true);
    for (const line of lines) await verifier.gather(line);
    await verifier.check(lines);
    expect(verifier.finish().findings.map((it) => it.fault)).toContain('no_key');
  });
});

describe('a public key', () => {
  it('is read as it is printed', async () => {
    const [id] = Object.keys(evidence.keys);
    expect((await readKey(`${own} ${id}`))?.id).toBe(id);
    expect((await readKey(own.replace('ed25519:', '')))?.text).toBe(own);
    expect(await readKey('ed25519:tooshort')).toBeNull();
    expect(await readKey('')).toBeNull();
  });
});

describe('base64url', () => {
  it('has one way to write bytes', () => {
    expect(fromBase64url('AA')).toEqual(new Uint8Array([0]));
    expect(fromBase64url('AB')).toBeNull();
    expect(fromBase64url('AA==')).toBeNull();
    expect(fromBase64url('a+b/')).toBeNull();
    expect(base64url(new Uint8Array([251, 255]))).toBe('-_8');
  });
});

describe('members of a line', () => {
  it.each([
    ['{"seq":1,"seq":2}', true], ['{"seq":1,"s\\u0065q":2}', true], ['{"seq":1,"a":{"seq":2}}', false],
    ['{"seq":1,"a":"seq"}', false], ['{"a":"\\"seq\\":","seq":1}', false], ['{"seq" :1,"b":[{"x":1}],"seq" :2}', true],
  ])('stand there once: %s', (text, twice) => {
    expect(repeats(text, ['seq'])).toBe(twice);
  });
});
