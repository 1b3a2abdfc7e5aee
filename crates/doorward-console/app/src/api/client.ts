/** The admin API, typed by its description. */
import { session } from '../lib/session.svelte';
import type { components, paths } from './admin';
import { Problem } from './problem';

export type Schemas = components['schemas'];
export type Method = 'get' | 'put' | 'post' | 'delete';
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof paths];
type Operation<M extends Method, P extends PathOf<M>> = paths[P] extends Record<M, infer O> ? O : never;
type Parameters_<O, In extends 'path' | 'query'> = O extends { parameters: infer A }
  ? A extends { [K in In]?: infer V }
    ? Exclude<V, undefined>
    : never
  : never;
type BodyOf<O> = O extends { requestBody?: infer B }
  ? Exclude<B, undefined> extends { content: { 'application/json': infer V } }
    ? V
    : never
  : never;
type Ok<R> = R extends { 200: infer V } ? V : R extends { 201: infer V } ? V : R extends { 202: infer V } ? V : never;
export type Answer<M extends Method, P extends PathOf<M>> =
  Operation<M, P> extends { responses: infer R }
    ? Ok<R> extends { content: infer C }
      ? C[keyof C]
      : undefined
    : never;

export interface Input<M extends Method, P extends PathOf<M>> {
  path?: Parameters_<Operation<M, P>, 'path'>;
  query?: Parameters_<Operation<M, P>, 'query'>;
  body?: BodyOf<Operation<M, P>>;
  /** From the resource that the change is based on: nothing is changed if it changed meanwhile. */
  etag?: string | null;
  /** Equal for all attempts of one change. Default: one attempt. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

export interface Answered<T> {
  data: T;
  etag: string | null;
}

/** Sends one request with the session of this browser. A session that has ended leads to signing in again. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (init.method && init.method !== 'GET') headers.set('Doorward-Admin', '1');
  const response = await fetch(path, { ...init, headers, credentials: 'same-origin', cache: 'no-store' });
  if (response.status === 401) session.lost();
  if (!response.ok) throw await Problem.from(response);
  return response;
}

export async function ask<M extends Method, P extends PathOf<M>>(
  method: M,
  path: P,
  input: Input<M, P> = {},
): Promise<Answered<Answer<M, P>>> {
  const parts = (input.path ?? {}) as Record<string, string | number>;
  let url = (path as string).replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(parts[name])));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries((input.query ?? {}) as Record<string, unknown>)) {
    if (Array.isArray(value)) for (const it of value) search.append(name, String(it));
    else if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  if (search.size > 0) url += `?${search}`;
  const headers = new Headers({ Accept: 'application/json' });
  const init: RequestInit = { method: method.toUpperCase(), headers };
  if (input.signal) init.signal = input.signal;
  if (input.etag) headers.set('If-Match', input.etag);
  if (input.idempotencyKey) headers.set('Idempotency-Key', input.idempotencyKey);
  // What is posted has a body, an empty one where nothing is to be said.
  const body: unknown = method === 'post' ? (input.body ?? {}) : input.body;
  if (method !== 'get' && body !== undefined) {
    headers.set('Content-Type', 'application/json');
    init.body = JSON.stringify(body);
  }
  const response = await send(url, init);
  const text = await response.text();
  const data = (text === '' ? undefined : JSON.parse(text)) as Answer<M, P>;
  return { data, etag: response.headers.get('etag') };
}

export const get = async <P extends PathOf<'get'>>(path: P, input?: Input<'get', P>): Promise<Answer<'get', P>> =>
  (await ask('get', path, input)).data;
export const post = async <P extends PathOf<'post'>>(path: P, input?: Input<'post', P>): Promise<Answer<'post', P>> =>
  (await ask('post', path, input)).data;
export const put = async <P extends PathOf<'put'>>(path: P, input?: Input<'put', P>): Promise<Answer<'put', P>> =>
  (await ask('put', path, input)).data;
export const remove = async <P extends PathOf<'delete'>>(path: P, input?: Input<'delete', P>): Promise<Answer<'delete', P>> =>
  (await ask('delete', path, input)).data;

/** A random key for one change that may be repeated. */
export function idempotencyKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

type ItemOf<T> = T extends { items: (infer I)[] } ? I : never;
/** Paths whose answer is a page. */
export type Item<P extends PathOf<'get'>> = ItemOf<Answer<'get', P>>;

/** A source of pages for tables: `pages('/admin/v1/keys', { all: true })`. */
export function pages<P extends PathOf<'get'>>(
  path: P,
  query: Record<string, unknown> = {},
  parts: Record<string, string> = {},
): (cursor: string | undefined, limit: number, signal: AbortSignal) => Promise<Page<Item<P>>> {
  return async (cursor, limit, signal) =>
    (await get(path, { path: parts, query: { ...query, cursor, limit }, signal } as unknown as Input<'get', P>)) as unknown as Page<Item<P>>;
}

/** All items of a list, at most so many. */
export async function all<P extends PathOf<'get'>>(
  path: P,
  query: Record<string, unknown> = {},
  signal: AbortSignal = new AbortController().signal,
  most = 5_000,
): Promise<Item<P>[]> {
  const source = pages(path, query);
  const found: Item<P>[] = [];
  let cursor: string | undefined;
  do {
    const page = await source(cursor, 1_000, signal);
    found.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor && found.length < most);
  return found;
}
