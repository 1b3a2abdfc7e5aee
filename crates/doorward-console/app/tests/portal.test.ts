import { describe, expect, it } from 'vitest';
import { contains, like, lines, tick, type Choice, unknown } from '../src/lib/portal';

const choice = (of: Partial<Choice> = {}): Choice => ({ servers: [], tools: [], tags: [], except: [], ...of });
const mail = { server: 'mail', name: 'send', tags: ['office'] };

describe('what a portal contains', () => {
  it('follows patterns', () => {
    for (const [pattern, text, is] of [['mail/*', 'mail/send', true], ['*/send', 'mail/send', true], ['m*l/s*d', 'mail/send', true], ['mail', 'mail/send', false], ['mail/*x', 'mail/send', false], ['a*a', 'a', false], ['*', '', true]] as const) {
      expect(like(pattern, text), pattern).toBe(is);
    }
  });
  it('is what a rule takes in and none leaves out', () => {
    expect(contains(choice({ servers: ['mail'] }), mail)).toBe(true);
    expect(contains(choice({ tags: ['office'] }), mail)).toBe(true);
    expect(contains(choice({ servers: ['mail'], except: ['*/send'] }), mail)).toBe(false);
    expect(contains(choice(), mail)).toBe(false);
  });
  it('changes by one tool', () => {
    expect(tick(choice(), mail, true)).toEqual(choice({ tools: ['mail/send'] }));
    expect(tick(choice({ tools: ['mail/send'] }), mail, false)).toEqual(choice());
    expect(tick(choice({ servers: ['mail'] }), mail, false)).toEqual(choice({ servers: ['mail'], except: ['mail/send'] }));
    expect(tick(choice({ servers: ['mail'], except: ['mail/send'] }), mail, true)).toEqual(choice({ servers: ['mail'] }));
    const both = tick(choice({ servers: ['mail'], tools: ['mail/send'] }), mail, false);
    expect(contains(both, mail)).toBe(false);
    expect(contains(tick(both, mail, true), mail)).toBe(true);
  });
  it('is written by lines', () => expect(lines(' a \n\nb\na')).toEqual(['a', 'b']));
});

it('keeps settings that the form has no field for', () => {
  const settings = { servers: ['a'], discovery: 'search', parameters: { 'a/b': { c: { fix: 1 } } }, compact: { descriptions: 9 } };
  expect(unknown(settings)).toEqual({ parameters: settings.parameters, compact: settings.compact });
});
