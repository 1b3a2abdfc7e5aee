export type Tone = 'ok' | 'warn' | 'bad' | 'info' | 'none';

const TONES: Record<string, Tone> = {
  // health
  ready: 'ok', healthy: 'ok', connected: 'ok', up: 'ok', differs: 'warn', ejected: 'warn', removed: 'none', idle: 'none', starting: 'info', connecting: 'info', degraded: 'warn',
  failing: 'bad', failed: 'bad', unreachable: 'bad', down: 'bad', open: 'warn', half_open: 'warn', closed: 'none',
  // lives
  proposed: 'info', in_review: 'info', approved: 'info', active: 'ok', deprecated: 'warn', quarantined: 'bad', retired: 'none',
  // approvals
  waiting: 'warn', granted: 'ok', withdrawn: 'none', refused: 'bad', expired: 'none', taken: 'info', used: 'ok', ended: 'none',
  // calls
  ok: 'ok', error: 'warn', denied: 'bad', rate_limited: 'warn', tool_error: 'warn', cancelled: 'none', failure: 'bad', permitted: 'ok', held: 'warn', unknown: 'none',
  // risk
  low: 'none', medium: 'warn', high: 'bad', critical: 'bad',
  // webhooks
  delivered: 'ok', queued: 'info', dead: 'bad',
};

export const tone = (state: string | null | undefined): Tone => TONES[state ?? ''] ?? 'none';
