/** Who is signed in, and what they may do. */
import { Problem } from '../api/problem';
import { base, go, router, to } from './router.svelte';

export interface Principal {
  id: string;
  name: string;
  kind: string;
  tenant: string | null;
  teams: string[];
  roles: string[];
}
export type Kind = 'gateway' | 'server' | 'portal' | 'tenant';
export type Way = { kind: 'openid'; id: string; name: string } | { kind: 'key' };
export interface Session {
  signed_in: boolean;
  face: 'console' | 'portal';
  principal: Principal | null;
  method: 'openid' | 'key' | 'certificate' | 'open' | null;
  provider: string | null;
  expires_at: string | null;
  idle_seconds: number | null;
  may: string[];
  /** On what kinds of things each action is permitted at least once: gateways say so that know. */
  may_on?: Record<string, Kind[]>;
  ways: Way[];
  gateway: { version: string; origin: string; console: string | null; portal: string | null };
}

let current = $state.raw<Session | null>(null);
let problem = $state.raw<Problem | null>(null);

async function change(path: string, body: unknown): Promise<Response> {
  const response = await fetch(`${base}auth/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Doorward-Admin': '1' },
    credentials: 'same-origin',
    body: JSON.stringify(body),
  });
  if (!response.ok) throw await Problem.from(response);
  return response;
}

export const session = {
  get current(): Session | null {
    return current;
  },
  /** Why the session could not be read. */
  get problem(): Problem | null {
    return problem;
  },
  get signedIn(): boolean {
    return current?.signed_in ?? false;
  },
  /**
   * Whether an action is permitted anywhere, or on one of these kinds of things. What is not is not shown; the gateway decides
   * all the same.
   */
  may(action: string, ...kinds: Kind[]): boolean {
    if (!current?.may.includes(action)) return false;
    const on = current.may_on?.[action];
    return !on || kinds.length === 0 || kinds.some((it) => on.includes(it));
  },
  /** Whether an action is permitted on a thing that says what may be done to it. */
  mayDo(action: string, thing: object | undefined, kind: Kind): boolean {
    const may = (thing as { may?: unknown } | undefined)?.may;
    return Array.isArray(may) ? may.includes(action) : session.may(action, kind);
  },

  async load(): Promise<void> {
    try {
      const response = await fetch(`${base}auth/session`, { credentials: 'same-origin', cache: 'no-store' });
      if (!response.ok) throw await Problem.from(response);
      current = (await response.json()) as Session;
      problem = null;
    } catch (error) {
      problem = Problem.of(error);
    }
  },

  /** The session has ended: to the sign-in page, and back to here afterwards. */
  lost(): void {
    if (current) current = { ...current, signed_in: false, principal: null, may: [], may_on: {} };
    if (router.segments[0] !== 'sign-in') go(to(['sign-in'], { return: router.path }), { replace: true });
  },

  async signInByKey(key: string): Promise<void> {
    await change('key', { key });
    await this.load();
  },

  async signOut(everywhere: boolean): Promise<void> {
    const response = await change('logout', { everywhere });
    const text = await response.text();
    const next = text ? (JSON.parse(text) as { continue: string | null }).continue : null;
    if (next) location.assign(next);
    else location.assign(to(['sign-in'], {}));
  },

  /** A short-lived token for the MCP door, for the playground. */
  async token(): Promise<{ token: string; expires_in: number }> {
    return (await (await change('token', {})).json()) as { token: string; expires_in: number };
  },
};
