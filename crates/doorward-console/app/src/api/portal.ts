/** The portal's API: what a signed-in person may see and do for themselves. */
import { offers } from '../lib/offers.svelte';
import { session } from '../lib/session.svelte';
import { idempotencyKey, send, type Page } from './client';
import { Problem } from './problem';

export const OPERATIONS = ['me', 'tools', 'endpoints', 'keys', 'accounts', 'approvals', 'usage', 'sessions', 'requests'] as const;
export type PortalOperation = (typeof OPERATIONS)[number];

export interface Measure {
  measure: string;
  bound: number;
  used: number;
  remaining: number;
  resets_in_ms: number;
}
export interface Me {
  principal: { id: string; name: string; kind: string; tenant: string | null; teams: string[]; roles: string[]; agent: string | null };
  authentication: string;
  account?: { id: string; balance: string; held: string; spent: string; allowance?: string; period?: 'day' | 'month'; current?: string };
  shared_accounts: { id: string; exhausted: boolean }[];
  spent: { today: string; this_month: string; calls_today: number; calls_this_month: number };
  limits: { name: string; subject: string; counts: Record<string, string>; measures: Measure[] }[];
  portals: string[];
  servers: string[];
  can: { create_keys: boolean; key_lifetime: number; change: boolean; request?: boolean };
}
export interface Endpoint {
  name: string;
  kind: 'all' | 'portal' | 'server';
  url: string;
  description?: string;
  state: 'up' | 'partial' | 'down';
  servers: string[];
  deprecated?: string;
}
export interface Key {
  id: string;
  label: string;
  owner: string;
  scopes: { portals?: string[]; servers?: string[]; tools?: string[]; read_only?: boolean; admin?: boolean; administer?: boolean };
  created: number;
  expires: number | null;
  revoked: number | null;
  replaced_by: string | null;
}
export interface Account {
  server: string;
  way: 'credential' | 'consent';
  connected: boolean;
  required: boolean;
  shared_by?: 'team' | 'tenant';
  changed?: number;
}
export interface Approval {
  id: string;
  state: string;
  server: string;
  name: string;
  reason: string;
  caller: string;
  agent?: string | null;
  approvers: string;
  missing: number;
  created: number | string;
  expires: number | string;
  arguments?: string | null;
  editable?: string[] | null;
  changed?: string | null;
  votes: { approves: boolean; by: string; reason?: string | null; at: number | string }[];
  can_decide: boolean;
  /** It is a call of one's own. */
  mine: boolean;
}
export interface Connection {
  id: string;
  kind: 'session' | 'grant' | 'browser';
  client?: string;
  at: string;
  agent?: string;
  address?: string;
  scopes?: string[];
  created?: number;
  used?: number;
  expires?: number;
}
export interface PortalTool {
  server: string;
  name: string;
  price?: { call?: string; unit?: { field: string; price: string }; second?: string; kb?: string; hit?: string };
  approval?: 'not_needed' | 'depends' | 'needed';
}
export type RequestKind = 'tool' | 'server' | 'portal' | 'new_server';
export interface AccessRequest {
  id: string;
  kind: RequestKind;
  name: string;
  url?: string | null;
  why: string;
  state: 'open' | 'granted' | 'refused' | 'withdrawn' | 'expired';
  created: number | string;
  expires: number | string;
  decided?: number | string | null;
  decision?: string | null;
}

type Query = Record<string, string | number | boolean | readonly string[] | null | undefined>;

function address(path: readonly string[], query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const it of value) search.append(name, String(it));
    else if (value !== undefined && value !== null && value !== '' && value !== false) search.set(name, String(value));
  }
  return `/portal/v1/${path.map(encodeURIComponent).join('/')}${search.size > 0 ? `?${search}` : ''}`;
}

async function answered<T>(response: Response): Promise<T> {
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** `portalGet(['tools', server, name])`. */
export async function portalGet<T>(path: readonly [PortalOperation, ...string[]], query: Query = {}, signal?: AbortSignal): Promise<T> {
  try {
    return await answered<T>(await send(address(path, query), { headers: { Accept: 'application/json' }, ...(signal ? { signal } : {}) }));
  } catch (error) {
    // A list that is not there is an operation that this gateway does not have.
    if (path.length === 1 && error instanceof Problem && error.status === 404) offers.missing(path[0]);
    throw error;
  }
}

export async function portalChange<T>(method: 'POST' | 'PUT' | 'DELETE', path: readonly [PortalOperation, ...string[]], body?: unknown, key = idempotencyKey()): Promise<T> {
  const headers = new Headers({ Accept: 'application/json', 'Idempotency-Key': key });
  const init: RequestInit = { method, headers };
  if (method !== 'DELETE') {
    headers.set('Content-Type', 'application/json');
    init.body = JSON.stringify(body ?? {});
  }
  return answered<T>(await send(address(path), init));
}

/** A source of pages for tables. */
export const portalPages =
  <T>(operation: PortalOperation, query: Query = {}) =>
  (cursor: string | undefined, limit: number, signal: AbortSignal): Promise<Page<T>> =>
    portalGet<Page<T>>([operation], { ...query, cursor, limit }, signal);

/** All items of a list, at most so many; none where the gateway has no such list. */
export async function portalAll<T>(operation: PortalOperation, query: Query = {}, signal: AbortSignal = new AbortController().signal, most = 5_000): Promise<T[]> {
  const source = portalPages<T>(operation, query);
  const found: T[] = [];
  let cursor: string | undefined;
  try {
    do {
      const page = await source(cursor, 1_000, signal);
      found.push(...page.items);
      cursor = page.next_cursor ?? undefined;
    } while (cursor && found.length < most);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
  }
  return found;
}

let me: Promise<Me> | null = null;
/** Who one is here, read once until something changes it. */
export function readMe(again = false): Promise<Me> {
  if (again || !me) {
    const asked = portalGet<Me>(['me']);
    me = asked;
    asked.catch(() => {
      if (me === asked) me = null;
    });
  }
  return me;
}
/** Whether one may ask for access: in person, and where it is offered. */
export const mayAsk = (it: Me): boolean => offers.has('requests') && (it.can.request ?? it.can.change);
export const learnOffers = (): Promise<void> => (session.signedIn ? offers.learn(() => readMe(), 'me', OPERATIONS) : Promise.resolve());
