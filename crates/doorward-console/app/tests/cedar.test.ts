import { describe, expect, it } from 'vitest';
import { offer } from '../src/lib/cedar';

const labels = (text: string): string[] => offer(text)?.options.map((it) => it.label) ?? [];

describe('completion of policies', () => {
  it('knows what the schema has at each place', () => {
    expect(labels('permit (principal, action == Action::"')).toContain('call');
    expect(labels('when { context.time.')).toEqual(['weekday', 'hour', 'minute', 'date', 'unix']);
    expect(labels('when { resource.wr')).toContain('write');
    expect(labels('@approval')).toContain('approval_ttl');
    expect(labels('per')).toContain('permit');
    expect(labels('resource.tags.')).toContain('contains');
  });
  it('is silent in comments and texts', () => {
    expect(offer('// per')).toBeNull();
    expect(offer('@reason("per')).toBeNull();
  });
  it('replaces the word that was begun', () => {
    expect(offer('when { context.ti')?.from).toBe('when { context.'.length);
  });
});
