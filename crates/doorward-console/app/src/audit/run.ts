/** Starts the worker that verifies, and ends it. */
import { Problem } from '../api/problem';
import { session } from '../lib/session.svelte';
import { texts } from '../texts';
import type { Answer, Order } from './messages';
import type { Report } from './verify';
import address from './worker?worker&url';

interface Policy {
  createScriptURL: (url: string) => unknown;
}

/** Where the page accepts scripts by type alone, this one is the only address that it vouches for. */
function own(url: string): string {
  const types = (globalThis as { trustedTypes?: { createPolicy: (name: string, rules: object) => Policy } }).trustedTypes;
  if (!types) return url;
  policy ??= types.createPolicy('doorward-worker', {
    createScriptURL: (it: string) => {
      if (it !== address) throw new TypeError(it);
      return it;
    },
  });
  return policy.createScriptURL(url) as string;
}
let policy: Policy | undefined;

/** How far it is: `pass` 1 collects what is claimed, 2 checks. */
export type Progress = Extract<Answer, { type: 'progress' }>;

export function verify(order: Order, told: (progress: Progress) => void, signal: AbortSignal): Promise<{ report: Report; ms: number }> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(own(address), { type: 'module' });
    const end = (): void => worker.terminate();
    signal.addEventListener('abort', () => {
      end();
      reject(new DOMException('', 'AbortError'));
    });
    worker.onerror = (event) => {
      end();
      reject(new Problem(0, 'verification', texts.verification.failed, event.message ?? ''));
    };
    worker.onmessage = async ({ data }: MessageEvent<Answer>) => {
      if (data.type === 'progress') return told(data);
      end();
      if (data.type === 'done') return resolve(data);
      if (data.why !== 'http') return reject(data.why === 'network' ? new TypeError(data.detail) : new Problem(0, 'verification', texts.verification.failed, texts.verification.why[data.why](data.detail)));
      if (data.status === 401) session.lost();
      reject(await Problem.from(new Response(data.body, { status: data.status })));
    };
    worker.postMessage(order);
  });
}
