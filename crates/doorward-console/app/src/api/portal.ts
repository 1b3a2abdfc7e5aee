/** The portal's API: what a signed-in person may see and do for themselves. */
import { send } from './client';

export async function portalGet<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await send(`/portal/v1/${path}`, signal ? { signal } : {});
  return (await response.json()) as T;
}

export async function portalChange<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.headers = { 'Content-Type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  const response = await send(`/portal/v1/${path}`, init);
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}
