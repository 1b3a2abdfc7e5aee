import { describe, expect, it } from 'vitest';
import { address, parse, returnPath, safeUrl } from '../src/lib/route';

describe('routes', () => {
  it('come back from the address that they make', () => {
    for (const segments of [[], ['servers'], ['servers', 'a/b'], ['catalogue', 'mail', 'send?x#y'], ['identities', 'user', 'https://idp.example:alice %']]) {
      const url = new URL(address('/console/', segments, { q: 'a b&c' }), 'http://x');
      const route = parse('/console/', url.pathname, url.search);
      expect(route?.segments).toEqual(segments);
      expect(route?.query.get('q')).toBe('a b&c');
    }
  });
  it('end at the base', () => {
    expect(parse('/console/', '/portal/servers', '')).toBeNull();
    expect(parse('/console/', '/consoles', '')).toBeNull();
    expect(parse('/console/', '/console', '')?.segments).toEqual([]);
    expect(parse('/console/', '/console/%zz', '')?.segments).toEqual(['%zz']);
  });
  it('leave out what is empty', () => {
    expect(address('/console/', ['keys'], { q: '', all: false, sort: undefined, from: null })).toBe('/console/keys');
    expect(address('/console/', ['keys'], { all: true, n: 0 })).toBe('/console/keys?all=true&n=0');
  });
});

describe('where one returns after signing in', () => {
  it('is below the base', () => {
    expect(returnPath('/console/', '/console/servers?q=a')).toBe('/console/servers?q=a');
    for (const bad of [null, '', '/portal/', '//evil.example/console/', 'https://evil.example/console/', '/console//evil', '/console/\\evil', 'javascript:alert(1)']) {
      expect(returnPath('/console/', bad)).toBe('/console/');
    }
  });
});

describe('links that others write', () => {
  it('lead to web pages or nowhere', () => {
    expect(safeUrl('https://example.com/a')).toBe('https://example.com/a');
    for (const bad of ['javascript:alert(1)', ' JavaScript:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///etc/passwd', 'blob:x', '/relative', '', null, 'java\nscript:alert(1)']) {
      expect(safeUrl(bad)).toBeUndefined();
    }
  });
});
