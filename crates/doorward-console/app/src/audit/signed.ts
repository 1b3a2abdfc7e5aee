/** What is signed: checkpoints, and what retention has removed. Keys are Ed25519, known by the beginning of their SHA-256. */
import { bytesOf, fromBase64url, isNumber, isObject, parsed, repeats, type Members } from './line';

export type Keys = Map<string, CryptoKey>;
export type Head = [seq: number, hash: string];
export type Gone = [writer: string, first: number, last: number, hash: string];

const PREFIX = 'ed25519:';
const BEFORE_SIGNATURE = ',"signature":"';
const RETENTION = 'audit.retention';

/** Whether this page can verify: browsers offer cryptography to pages of HTTPS and of this machine alone. */
export const canVerify = (): boolean => typeof crypto !== 'undefined' && typeof crypto.subtle !== 'undefined';

/** A public key as `doorward audit key` prints it: with or without its id. `null` if it is none. */
export async function readKey(text: string): Promise<{ id: string; text: string; key: CryptoKey } | null> {
  const parts = text.trim().split(/\s+/);
  const marked = parts.find((it) => it.startsWith(PREFIX))?.slice(PREFIX.length);
  const written = marked ?? parts.at(-1) ?? '';
  const bytes = fromBase64url(written);
  if (bytes?.length !== 32) return null;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const id = [...digest.slice(0, 9)].map((it) => it.toString(16).padStart(2, '0')).join('');
  try {
    return { id, text: PREFIX + written, key: await crypto.subtle.importKey('raw', bytes, 'Ed25519', false, ['verify']) };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotSupportedError') throw error;
    return null;
  }
}

async function isSigned(text: string, signature: string, key: CryptoKey): Promise<boolean> {
  const bytes = fromBase64url(signature);
  return bytes !== null && (await crypto.subtle.verify('Ed25519', key, bytes, bytesOf(text)));
}

export interface Said {
  writer: string;
  seq: number;
  prev: string;
  heads: Map<string, Head>;
}
export type Doubt = { is: 'not_checkpoint' } | { is: 'unknown_key'; key: string } | { is: 'bad_signature' };

const isHead = (it: unknown): it is Head => Array.isArray(it) && it.length === 2 && isNumber(it[0]) && typeof it[1] === 'string';

/** Reads a checkpoint: what it says if a trusted key has signed it, else why it cannot be trusted. */
export async function readCheckpoint(text: string, keys: Keys): Promise<Said | Doubt> {
  const it = parsed(text);
  const { writer, seq, prev, key, signature, heads } = it ?? ({} as Members);
  const isOne = typeof writer === 'string' && isNumber(seq) && typeof prev === 'string' && typeof key === 'string' && typeof signature === 'string' && isObject(heads);
  if (!isOne || !Object.values(heads).every(isHead) || repeats(text, ['writer', 'seq', 'prev', 'key', 'signature', 'heads'])) return { is: 'not_checkpoint' };
  const trusted = keys.get(key);
  if (!trusted) return { is: 'unknown_key', key };
  const at = text.lastIndexOf(BEFORE_SIGNATURE);
  if (at < 0 || !(await isSigned(text.slice(0, at), signature, trusted))) return { is: 'bad_signature' };
  return { writer, seq, prev, heads: new Map(Object.entries(heads) as [string, Head][]) };
}

export type Removal = { signed: true; runs: Gone[]; earlier: boolean } | { signed: false; by: string; runs: [writer: string, first: number, last: number][] };

const isRun = (it: unknown, length: 3 | 4): boolean =>
  Array.isArray(it) && it.length === length && typeof it[0] === 'string' && isNumber(it[1]) && isNumber(it[2]) && (length === 3 || typeof it[3] === 'string');

/** Reads a record of retention; `null` for any other record. */
export async function readRemoval(text: string, keys: Keys): Promise<Removal | null> {
  if (!text.includes(RETENTION)) return null;
  const it = parsed(text);
  if (it?.['act'] !== RETENTION || typeof it['subject'] !== 'string' || !isObject(it['details'])) return null;
  const { subject: by, details } = it as { subject: string; details: Members };
  const removed = details['removed'];
  if (!Array.isArray(removed)) return null;
  if (!removed.every((run) => isRun(run, 4))) {
    return removed.every((run) => isRun(run, 3)) ? { signed: false, by, runs: removed as [string, number, number][] } : null;
  }
  const runs = removed as Gone[];
  const proof = details['proof'];
  if (isObject(proof) && typeof proof['key'] === 'string' && typeof proof['signature'] === 'string') {
    const key = keys.get(proof['key']);
    const signed = `doorward audit retention\n${by}\n${JSON.stringify(runs)}`;
    if (key && (await isSigned(signed, proof['signature'], key))) return { signed: true, runs, earlier: details['earlier'] === true };
  }
  return { signed: false, by, runs: runs.map(([writer, first, last]) => [writer, first, last]) };
}
