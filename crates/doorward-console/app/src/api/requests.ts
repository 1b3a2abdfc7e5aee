/** Users' requests for access, as administrators see them. */
import { idempotencyKey, send, type Page } from './client';
import type { AccessRequest } from './portal';

export interface Request extends AccessRequest {
  requester_kind: string;
  requester: string;
  tenant?: string;
  decided_by?: string;
  reason?: string;
  granted?: { role?: string; team?: string; policy?: string; note?: string };
  /** A new server was proposed with it. */
  proposed?: boolean;
  known_as?: { teams?: string[]; roles?: string[]; tenant?: string; disabled?: boolean };
  /** Whether what is asked for is there. */
  exists?: boolean;
  can_decide: boolean;
}
export type Grant = { role: string } | { team: string } | { policy: { name: string; text: string } } | { note: string };

const PATH = '/admin/v1/requests';
const one = (id: string): string => `${PATH}/${encodeURIComponent(id)}`;

async function read<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await send(path, { headers: { Accept: 'application/json' }, ...(signal ? { signal } : {}) })).json()) as T;
}
async function change(path: string, body: unknown): Promise<Request> {
  const headers = { Accept: 'application/json', 'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey() };
  return (await (await send(path, { method: 'POST', headers, body: JSON.stringify(body) })).json()) as Request;
}

export const requests = {
  pages: (state: string) => (cursor: string | undefined, limit: number, signal: AbortSignal): Promise<Page<Request>> =>
    read(`${PATH}?${new URLSearchParams({ state, limit: String(limit), ...(cursor ? { cursor } : {}) })}`, signal),
  show: (id: string, signal?: AbortSignal): Promise<Request> => read(one(id), signal),
  grant: (id: string, how: Grant): Promise<Request> => change(`${one(id)}/grant`, how),
  refuse: (id: string, reason: string): Promise<Request> => change(`${one(id)}/refuse`, { reason }),
  /** Whether this gateway has them. */
  probe: (): Promise<unknown> => read(`${PATH}?limit=1`),
};
