/** What a person should look at in the portal, from what it lists. */
import type { Account, Key, Me } from '../api/portal';

const SOON = 14 * 86_400;

export type KeyState = 'valid' | 'replaced' | 'revoked' | 'expired';
export const keyState = (it: Pick<Key, 'revoked' | 'expires' | 'replaced_by'>, now = Date.now() / 1000): KeyState =>
  it.revoked ? 'revoked' : it.expires && it.expires <= now ? 'expired' : it.replaced_by ? 'replaced' : 'valid';

/** Keys that expire soon, the first of them first. */
export const expiring = (keys: readonly Key[], now = Date.now() / 1000): Key[] =>
  keys.filter((it) => keyState(it, now) === 'valid' && (it.expires ?? Infinity) - now < SOON).toSorted((a, b) => (a.expires ?? 0) - (b.expires ?? 0));

/** Servers that do not work before one has connected. */
export const unconnected = (accounts: readonly Account[]): Account[] => accounts.filter((it) => it.required && !it.connected);

export interface Share {
  name: string;
  measure: string;
  used: number;
  bound: number;
  part: number;
  resets: number;
}
/** How much is used of each limit, what is nearest to its bound first. */
export const shares = (limits: Me['limits']): Share[] =>
  limits
    .flatMap(({ name, measures }) => measures.map((it): Share => ({ name, measure: it.measure, used: it.used, bound: it.bound, part: it.bound === 0 ? 1 : it.used / it.bound, resets: it.resets_in_ms / 1000 })))
    .toSorted((a, b) => b.part - a.part);

/** How much of a budget is gone; `null` without one. */
export function budgetPart(account: Me['account']): number | null {
  const [allowance, balance] = [Number(account?.allowance), Number(account?.balance)];
  return account?.allowance !== undefined && allowance > 0 && Number.isFinite(balance) ? Math.min(1, Math.max(0, 1 - balance / allowance)) : null;
}
export const toneOf = (part: number): 'bad' | 'warn' | '' => (part >= 1 ? 'bad' : part >= 0.8 ? 'warn' : '');
