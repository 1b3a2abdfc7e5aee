/**
 * One audit record as a line of JSON, chained to the one before it: `{"writer":W,"seq":N,"prev":P, … ,"hash":H}`, where H is the
 * SHA-256 (base64url) of everything before `,"hash"`, and P is the H of the record before. Lines are verified as they were written.
 */

export interface Line {
  writer: string;
  seq: number;
  prev: string;
  hash: string;
  kind: string;
  /** For a range that retention removed: its last record, and the act that reports the removal. */
  to: number | null;
  removed: string | null;
}

export type Members = Record<string, unknown>;

const BEFORE_HASH = ',"hash":"';
const HASH = 43;
const NAMES = ['writer', 'seq', 'prev', 'hash', 'kind', 'at', 'to', 'removed'];

export const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value);
export const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value);
const isText = (value: unknown): value is string => typeof value === 'string';

export function parsed(text: string): Members | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** Whether a member of the line stands there twice: two readers could then read two records. */
export function repeats(text: string, names: readonly string[]): boolean {
  const often = (name: string): boolean => text.indexOf(`"${name}"`) !== text.lastIndexOf(`"${name}"`);
  if (!text.includes('\\') && !names.some(often)) return false;
  const seen = new Set<string>();
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const mark = text[at];
    if (mark === '{' || mark === '[') depth += 1;
    else if (mark === '}' || mark === ']') depth -= 1;
    else if (mark === '"') {
      const start = at;
      for (at += 1; at < text.length && text[at] !== '"'; at += 1) if (text[at] === '\\') at += 1;
      if (depth !== 1 || !/^\s*:/.test(text.slice(at + 1, at + 20))) continue;
      const name = JSON.parse(text.slice(start, at + 1)) as string;
      if (!names.includes(name)) continue;
      if (seen.has(name)) return true;
      seen.add(name);
    }
  }
  return false;
}

/** Reads a line; `null` if it is not a record. */
export function readLine(text: string): Line | null {
  const it = parsed(text);
  if (!it || repeats(text, NAMES)) return null;
  const { writer, seq, prev = '', hash, kind = '', at = '', to = null, removed = null } = it;
  if (!isText(writer) || !isNumber(seq) || !isText(prev) || !isText(hash) || !isText(kind) || !isText(at)) return null;
  if ((to !== null && !isNumber(to)) || (removed !== null && !isText(removed))) return null;
  return { writer, seq, prev, hash, kind, to, removed };
}

/** The number of the last record that a line stands for. */
export const lastOf = (line: Line): number => (line.removed !== null && line.to !== null ? line.to : line.seq);

/** What the line's hash is of; `null` if the hash is not where it belongs. */
export function hashed(text: string, line: Line): string | null {
  const at = text.length - (BEFORE_HASH.length + HASH + 2);
  return at >= 0 && text.slice(at) === `${BEFORE_HASH}${line.hash}"}` ? text.slice(0, at) : null;
}

const encoder = new TextEncoder();

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Bytes of base64url without padding; `null` if a text is not the one way to write them. */
export function fromBase64url(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]*$/.test(text)) return null;
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (it) => it.charCodeAt(0));
    return base64url(bytes) === text ? bytes : null;
  } catch {
    return null;
  }
}

export const bytesOf = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text);

/** The SHA-256 of a text, in base64url. */
export async function sha256(text: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', bytesOf(text))));
}
