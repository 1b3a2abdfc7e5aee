import { describe, expect, it } from 'vitest';
import { asJson, edited } from '../src/lib/approvals';
import { cedarText, draft, fileName } from '../src/lib/requests';
import { budgetPart, expiring, keyState, shares, toneOf, unconnected } from '../src/lib/worries';
import type { Key, Me } from '../src/api/portal';

describe('a policy that grants a request', () => {
  const wanted = { id: 'r1', requester_kind: 'user', requester: 'dana', name: 'tickets/refund' };
  it('permits what was asked for, to whom has asked', () => {
    expect(draft({ ...wanted, kind: 'tool' })).toBe('@id("request-r1")\npermit (principal == User::"dana", action in Action::"use", resource == Tool::"tickets/refund");\n');
    expect(draft({ ...wanted, kind: 'server', name: 'tickets', requester_kind: 'service_account' })).toContain('ServiceAccount::"dana", action in Action::"use", resource in Server::"tickets");');
    expect(draft({ ...wanted, kind: 'portal', name: 'support' })).toContain('resource)\nwhen { context.portal == "support" };');
  });
  it('cannot be written by who asks', () => {
    const name = 'x"); permit (principal, action, resource);\n//\\';
    const text = draft({ ...wanted, kind: 'tool', name, requester: name });
    expect(text.split('\n')).toHaveLength(3);
    expect(text.replace(/"(?:[^"\\]|\\.)*"/g, '""')).toBe('@id("")\npermit (principal == User::"", action in Action::"", resource == Tool::"");\n');
    expect(cedarText('a\u0001\u2028"')).toBe('"a\\u{1}\\u{2028}\\""');
  });
  it('gets a file name of plain letters', () => {
    expect(fileName({ requester: 'corp:Dana@x', name: '../../etc/passwd' })).toBe('corp-dana-x-etc-passwd.cedar');
    expect(fileName({ requester: '…', name: '' })).toBe('x-x.cedar');
  });
});

describe('edits of an approver', () => {
  it('keep the types of arguments', () => {
    const before = { to: 'a@b', amount: 5, tags: ['x'] };
    expect(edited(before, { to: '12', amount: '7', tags: '["y"]', empty: '' })).toEqual({ edits: { to: '12', amount: 7, tags: ['y'] }, wrong: [] });
    expect(edited(before, { amount: 'seven', other: 'new' })).toEqual({ edits: { other: 'new' }, wrong: ['amount'] });
    expect([asJson('{"a":1}'), asJson('not json'), asJson(null)]).toEqual([{ a: 1 }, null, null]);
  });
});

describe('what waits in the portal', () => {
  const key = (id: string, more: Partial<Key>): Key => ({ id, label: '', owner: 'ada', scopes: {}, created: 0, expires: null, revoked: null, replaced_by: null, ...more });
  it('are keys that expire soon, and accounts that are needed', () => {
    const now = 1_000_000;
    const keys = [key('never', {}), key('later', { expires: now + 15 * 86_400 }), key('b', { expires: now + 86_400 }), key('a', { expires: now + 60 }), key('gone', { expires: now - 1 }), key('revoked', { expires: now + 60, revoked: 1 })];
    expect(expiring(keys, now).map((it) => it.id)).toEqual(['a', 'b']);
    expect(keys.map((it) => keyState(it, now))).toEqual(['valid', 'valid', 'valid', 'valid', 'expired', 'revoked']);
    const account = { way: 'consent', connected: false, required: true } as const;
    expect(unconnected([{ server: 'a', ...account }, { server: 'b', ...account, connected: true }, { server: 'c', ...account, required: false }]).map((it) => it.server)).toEqual(['a']);
  });
  it('is what is left of budgets and limits', () => {
    const budget = { id: 'user/ada', balance: '25', held: '0', spent: '75', allowance: '100', period: 'month' } as const;
    expect(budgetPart(budget)).toBe(0.75);
    expect(budgetPart({ ...budget, balance: '-1' })).toBe(1);
    expect(budgetPart(undefined)).toBeNull();
    const measure = (used: number, bound: number) => ({ measure: 'rate', used, bound, remaining: bound - used, resets_in_ms: 0 });
    const limits: Me['limits'] = [{ name: 'fair', subject: '', counts: {}, measures: [measure(1, 10), measure(9, 10)] }, { name: 'none', subject: '', counts: {}, measures: [measure(0, 0)] }];
    expect(shares(limits).map((it) => it.part)).toEqual([1, 0.9, 0.1]);
    expect([1, 0.9, 0.1].map(toneOf)).toEqual(['bad', 'warn', '']);
  });
});
