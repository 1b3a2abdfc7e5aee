/** Who is signed in to the console or the portal with a browser. */
import { send, type Page } from '../../api/client';

export interface Login {
  id: string;
  /** `token`: a token of the playground, which belongs to the session `parent`. */
  face: 'console' | 'portal' | 'token';
  parent?: string | null;
  principal: string;
  kind: string;
  name: string;
  tenant?: string | null;
  method: string;
  key?: string | null;
  provider?: string | null;
  address?: string | null;
  /** Seconds since 1970. */
  created: number;
  used: number;
  idle: number;
  expires: number;
}

const PATH = '/admin/v1/logins';

export async function logins(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<Page<Login>> {
  const query = new URLSearchParams({ limit: String(limit), ...(cursor ? { cursor } : {}) });
  return (await (await send(`${PATH}?${query}`, signal ? { signal } : {})).json()) as Page<Login>;
}

export async function allLogins(signal?: AbortSignal): Promise<Login[]> {
  const found: Login[] = [];
  let cursor: string | undefined;
  do {
    const page = await logins(cursor, 1_000, signal);
    found.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor && found.length < 5_000);
  return found;
}

export const endLogin = async (id: string): Promise<void> => {
  await send(`${PATH}/${encodeURIComponent(id)}`, { method: 'DELETE' });
};

/** Ends all sessions of a principal, as the list names it. How many there were. */
export async function endLoginsOf(principal: string): Promise<number> {
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ principal }) };
  return ((await (await send(`${PATH}/end`, init)).json()) as { ended: number }).ended;
}
