/** Public keys that the user of this browser trusts, and where the last verification found something. */
import { recall, remember } from '../lib/remember';
import type { Finding } from './verify';

/** Keys that are pinned at most. */
const MOST = 20;
const read = (): string[] => (recall('audit-keys') ?? '').split('\n').filter(Boolean).slice(0, MOST);

let pinned = $state.raw<string[]>(read());
let broken = $state.raw<ReadonlySet<string>>(new Set());

function store(keys: string[]): void {
  pinned = keys.slice(-MOST);
  remember('audit-keys', pinned.length > 0 ? pinned.join('\n') : null);
}

export const trust = {
  /** As `ed25519:…`. */
  get pinned(): readonly string[] {
    return pinned;
  },
  pin(key: string): void {
    store([...pinned.filter((it) => it !== key), key]);
  },
  unpin(key: string): void {
    store(pinned.filter((it) => it !== key));
  },
  /** Whether the last verification of the gateway's log found something at a record. */
  isBroken: (writer: unknown, seq: unknown): boolean => broken.has(`${String(writer)} ${String(seq)}`),
  found(findings: readonly Finding[]): void {
    broken = new Set(findings.map((it) => `${it.writer} ${it.seq}`));
  },
};
