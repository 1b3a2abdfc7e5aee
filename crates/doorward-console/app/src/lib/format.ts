/** Times, numbers and sizes as people read them. Times of the admin API are seconds since 1970 or RFC 3339. */
import { texts } from '../texts';

/** A moment from seconds since 1970, milliseconds, or RFC 3339; `null` if it is none. */
export function moment(at: number | string | null | undefined): Date | null {
  if (at === null || at === undefined || at === '') return null;
  const date = typeof at === 'number' ? new Date(at > 1e11 ? at : at * 1000) : new Date(at);
  return Number.isNaN(date.getTime()) ? null : date;
}

const two = (n: number): string => String(n).padStart(2, '0');
const { ago, ahead, months, units } = texts.time;

/** A local time, as short as its distance allows: `14:03:22`, `28 Nov 14:03`, `28 Nov 2025`. */
export function shortTime(date: Date, now: Date = new Date()): string {
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (date.toDateString() === now.toDateString()) return `${clock}:${two(date.getSeconds())}`;
  const day = `${date.getDate()} ${months[date.getMonth()] ?? ''}`;
  return date.getFullYear() === now.getFullYear() ? `${day} ${clock}` : `${day} ${date.getFullYear()}`;
}

/** The exact local time with its offset, and in UTC. */
export function exactTime(date: Date): string {
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  const local = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
  return `${local} · ${date.toISOString()}`;
}

/** How long ago, or in how long: `12 s ago`, `in 3 h`. */
export function distance(date: Date, now: Date = new Date()): string {
  const seconds = Math.round((now.getTime() - date.getTime()) / 1000);
  const text = span(Math.abs(seconds));
  return seconds >= 0 ? ago(text) : ahead(text);
}

/** A duration in its largest unit: `42 s`, `5 min`, `3 h`, `12 d`. */
export function span(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} ${units.s}`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} ${units.min}`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} ${units.h}`;
  return `${Math.round(seconds / 86400)} ${units.d}`;
}

export function millis(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '–';
  if (ms === 0) return `0 ${units.ms}`;
  if (ms < 1) return `${ms.toFixed(2)} ${units.ms}`;
  if (ms < 10) return `${ms.toFixed(1)} ${units.ms}`;
  if (ms < 1000) return `${Math.round(ms)} ${units.ms}`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} ${units.s}` : span(ms / 1000);
}

const grouped = new Intl.NumberFormat('en-US');
export const count = (n: number | null | undefined): string => (n === null || n === undefined ? '–' : grouped.format(n));

/** `1,240`, `12.4k`, `3.1M`. */
export function compact(n: number): string {
  if (Math.abs(n) < 10_000) return grouped.format(Math.round(n * 10) / 10);
  if (Math.abs(n) < 1e6) return `${(n / 1e3).toFixed(1)}k`;
  return Math.abs(n) < 1e9 ? `${(n / 1e6).toFixed(1)}M` : `${(n / 1e9).toFixed(1)}G`;
}

export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) return '–';
  if (n < 1024) return `${n} B`;
  if (n < 1024 ** 2) return `${(n / 1024).toFixed(1)} KiB`;
  return n < 1024 ** 3 ? `${(n / 1024 ** 2).toFixed(1)} MiB` : `${(n / 1024 ** 3).toFixed(1)} GiB`;
}

export const percent = (part: number, whole: number): string =>
  whole === 0 ? '–' : `${((100 * part) / whole).toFixed(part === 0 || part / whole > 0.1 ? 0 : 1)}%`;

/** `read_audit` as people read it: `read audit`. */
export const words = (text: string): string => text.replaceAll('_', ' ');
