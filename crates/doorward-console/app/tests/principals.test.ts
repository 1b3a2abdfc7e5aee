import { describe, expect, it } from 'vitest';
import { isOf, userOfGrant, list, parts, shortly } from '../src/lib/principals';

describe('names of principals', () => {
  it('are told apart', () => {
    expect(isOf('user "alice"', 'user', 'alice')).toBe(true);
    expect(isOf('user "alice" with agent "bot"', 'user', 'alice')).toBe(true);
    expect(isOf('service account "nightly"', 'service_account', 'nightly')).toBe(true);
    expect(isOf('user "alice2"', 'user', 'alice')).toBe(false);
    expect(isOf('agent "alice"', 'user', 'alice')).toBe(false);
    expect(isOf('user "x\\" user \\"alice"', 'user', 'alice')).toBe(false);
    expect(isOf(null, 'user', 'alice')).toBe(false);
  });
  it('are short for a person to read', () => {
    expect(shortly('user "alice"')).toBe('alice');
    expect(shortly('service account "nightly"')).toBe('service account nightly');
    expect(shortly('user "alice" with agent "bot"')).toBe('user "alice" with agent "bot"');
  });
  it('are taken apart', () => {
    expect(parts('user "acme:al \\"ice"')).toEqual({ kind: 'user', name: 'acme:al "ice' });
    expect(parts('service account "nightly"')).toEqual({ kind: 'service_account', name: 'nightly' });
    expect(parts('local')).toBeNull();
  });
  it('contain the subject of a provider as a whole', () => {
    const settings = { identity: { authorization_server: { name: 'acme' } } };
    expect(userOfGrant(settings, 'alice')).toBe('acme:alice');
    expect(userOfGrant({}, 'alice')).toBe('login:alice');
  });
  it('are listed once', () => expect(list(' a, b\nb  c,')).toEqual(['a', 'b', 'c']));
});
