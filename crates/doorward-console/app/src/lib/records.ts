/** Audit records as the API returns them. */
import { millis } from './format';

export type AuditRecord = Record<string, unknown>;

export const micros = (value: unknown): string => (typeof value === 'number' ? millis(value / 1000) : '–');

/** Who did it, in a word. */
export function who(record: AuditRecord): string {
  const actor = record['actor'] as { name?: unknown } | undefined;
  if (actor && typeof actor.name === 'string') return actor.name;
  const text = (name: string): string => (typeof record[name] === 'string' ? (record[name] as string) : '');
  const principal = text('user') || text('service_account');
  const agent = text('agent');
  return principal && agent ? `${principal} · ${agent}` : principal || agent;
}

/** What was done: the call's target, or the event. */
export function what(record: AuditRecord): string {
  const text = (name: string): string => (typeof record[name] === 'string' ? (record[name] as string) : '');
  if (text('server') && text('target')) return `${text('server')} / ${text('target')}`;
  return text('act') || text('event') || [text('method'), text('server') || text('path')].filter(Boolean).join(' ') || text('kind');
}

/** Columns of records as a table. Other members are in the JSON lines. */
const COLUMNS = [
  'at', 'kind', 'event', 'act', 'subject', 'class', 'outcome', 'user', 'service_account', 'agent', 'tenant', 'key', 'authentication', 'address', 'client',
  'protocol', 'portal', 'method', 'server', 'target', 'credential', 'policies', 'reason', 'error', 'gateway_us', 'upstream_us', 'price', 'id', 'writer', 'seq', 'hash',
];
const flat = (value: unknown): string | number | null => {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string' || typeof value === 'number') return value;
  return Array.isArray(value) && value.every((it) => typeof it === 'string') ? value.join(' ') : JSON.stringify(value);
};

export const asTable = (records: readonly AuditRecord[]): (string | number | null)[][] => [
  ['who', ...COLUMNS],
  ...records.map((it) => [who(it), ...COLUMNS.map((name) => flat(it[name]))]),
];
export const asLines = (records: readonly AuditRecord[]): string => records.map((it) => `${JSON.stringify(it)}\n`).join('');
