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
