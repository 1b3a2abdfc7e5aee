/** What the page and its verifying worker say to each other. */
import type { Report } from './verify';

export type Source = { from: 'gateway'; to: number; since?: number | undefined } | { from: 'files'; files: File[] };
export interface Order {
  source: Source;
  /** Public keys that are trusted, as texts. */
  keys: string[];
  /** Checkpoints, or reports of verifications, that were stored where others cannot write. */
  anchors: File[];
}
export type Answer =
  | { type: 'progress'; pass: 1 | 2; records: number; bytes: number }
  | { type: 'done'; report: Report; ms: number }
  | { type: 'failed'; why: 'http'; status: number; body: string }
  | { type: 'failed'; why: 'too_large' | 'not_text' | 'no_ed25519' | 'network' | 'other'; detail: string };
