import { describe, expect, it } from 'vitest';
import { imageOf } from '../src/playground/image';
import { change, faults, flat, initial, node, shows, type Kind } from '../src/playground/schema';

const kind = (schema: unknown, name = ''): Kind => node(schema, schema, name).kind;

describe('a schema becomes a control', () => {
  it('by its type', () => {
    const kinds: [unknown, Kind][] = [
      [{ type: 'string' }, 'string'], [{ type: 'integer' }, 'number'], [{ type: 'number' }, 'number'], [{ type: 'boolean' }, 'boolean'],
      [{ enum: ['a', 1, null] }, 'enum'], [{ const: 3 }, 'const'], [{ type: 'array', items: { type: 'string' } }, 'array'],
      [{ type: 'array', items: { enum: ['a', 'b'] } }, 'many'], [{ type: 'object', properties: { a: {} } }, 'object'], [{ properties: { a: {} } }, 'object'], [{ type: 'object' }, 'object'],
      [{ oneOf: [{ const: 'a', title: 'A' }, { const: 'b' }] }, 'enum'], [{ anyOf: [{ type: 'string' }, { type: 'number' }] }, 'variants'], [{ type: ['string', 'number'] }, 'variants'],
      // What a form cannot show is JSON.
      [true, 'json'], [false, 'json'], [{}, 'json'], [{ type: 'array', prefixItems: [{}] }, 'json'], [{ type: 'object', additionalProperties: { type: 'string' } }, 'json'],
      [{ $ref: 'https://elsewhere.example/x' }, 'json'], [{ $ref: '#/$defs/missing' }, 'json'], [{ anyOf: [{ $ref: '#/nowhere' }, { type: 'null' }, {}] }, 'json'],
    ];
    for (const [schema, expected] of kinds) expect(kind(schema), JSON.stringify(schema)).toBe(expected);
  });
  it('by its format and name', () => {
    const input = (schema: object, name = ''): string => node({ type: 'string', ...schema }, {}, name).input;
    expect([input({ format: 'email' }), input({ format: 'uri' }), input({ format: 'date' }), input({ format: 'date-time' }), input({ format: 'unknown' })]).toEqual(['email', 'url', 'date', 'text', 'text']);
    expect([input({ maxLength: 2000 }), input({}, 'message_body'), input({}, 'bodyguard'), input({ format: 'constructor' })]).toEqual(['area', 'area', 'text', 'text']);
  });
  it('with what may be absent or null', () => {
    for (const schema of [{ type: ['string', 'null'] }, { anyOf: [{ type: 'string' }, { type: 'null' }] }]) {
      expect(node(schema, schema)).toMatchObject({ kind: 'string', nullable: true });
      expect(faults(schema, schema, null)).toEqual([]);
    }
    expect(node({ anyOf: [{ type: 'string', title: 'Inner' }, { type: 'null' }], title: 'Outer' }, {}).title).toBe('Outer');
  });
  it('with parts put together', () => {
    const root = { $defs: { base: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] } }, allOf: [{ $ref: '#/$defs/base' }, { properties: { b: { type: 'number' } }, required: ['b'] }] };
    expect(node(root, root).members.map((it) => [it.name, it.required])).toEqual([['a', true], ['b', true]]);
    const escaped = { $defs: { 'a/b~c d': { type: 'boolean' } }, $ref: '#/$defs/a~1b~0c%20d' };
    expect(node(escaped, escaped).kind).toBe('boolean');
  });
  it('even if it refers to itself', () => {
    const tree = { type: 'object', properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#' } }, next: { $ref: '#' } }, required: ['name'] };
    expect(initial(tree, tree)).toEqual({});
    expect(faults(tree, tree, { name: 'a', children: [{ name: 'b', children: [{}] }] })).toEqual([{ path: '/children/0/children/0/name', text: 'This is required.' }]);
    const loop = { $ref: '#' };
    expect(flat(loop, loop)).toBeNull();
    const endless = { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] };
    expect(() => initial(endless, endless)).not.toThrow();
  });
});

describe('a form begins', () => {
  it('with defaults, constants and required objects', () => {
    const schema = {
      type: 'object', required: ['who', 'items', 'pay', 'plain'],
      properties: {
        who: { type: 'object', required: ['kind'], properties: { kind: { const: 'person' }, country: { type: 'string', default: 'CH' }, name: { type: 'string' } } },
        items: { type: 'array', minItems: 2, items: { type: 'object', properties: { n: { type: 'integer', default: 1 } } } },
        pay: { oneOf: [{ properties: { kind: { const: 'card' } }, required: ['kind'] }, { properties: { kind: { const: 'cash' } } }] },
        plain: { type: 'string' }, maybe: { type: 'object', properties: { x: { default: 1 } } }, limit: { type: 'integer', default: 10 }, off: { type: 'boolean', default: false },
      },
    };
    expect(initial(schema, schema)).toEqual({ who: { kind: 'person', country: 'CH' }, items: [{ n: 1 }, { n: 1 }], pay: { kind: 'card' }, limit: 10, off: false });
  });
  it('without sharing a default', () => {
    const schema = { type: 'array', default: [1] };
    (initial(schema, schema) as number[]).push(2);
    expect(schema.default).toEqual([1]);
  });
});

describe('a value', () => {
  const schema = {
    type: 'object', required: ['name', 'n'], additionalProperties: false,
    properties: {
      name: { type: 'string', minLength: 2, maxLength: 4, pattern: '^[a-z]+$' }, n: { type: 'integer', minimum: 1, exclusiveMaximum: 10, multipleOf: 2 }, tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 1 },
      one: { oneOf: [{ type: 'string' }, { type: 'object', properties: { x: { type: 'number' } }, required: ['x'] }] },
    },
  };
  const wrong = (value: unknown): string[] => faults(schema, schema, value).map((it) => it.path);
  it('that fits has no faults', () => {
    expect(wrong({ name: 'abc', n: 4, tags: ['a'], one: { x: 1.5 } })).toEqual([]);
    expect(wrong({ name: '😀a'.slice(0, 2) + 'a', n: 2 })).toEqual(['/name']);
  });
  it('that does not is told where', () => {
    expect(wrong({})).toEqual(['/name', '/n']);
    expect(wrong({ name: 'A', n: 11 })).toEqual(['/name', '/name', '/n', '/n']);
    expect(wrong({ name: 'abc', n: 2.5, tags: ['a', 'c'], one: { x: 'no' } })).toEqual(['/n', '/tags', '/tags/1', '/one']);
    expect(wrong({ name: 'abc', n: 2, other: 1 })).toEqual(['']);
    expect(wrong([])).toEqual(['']);
    expect(faults({ type: 'string', pattern: '[' }, {}, 'x')).toEqual([]);
  });
  it('changes one member at a time, in the order of the schema', () => {
    expect(JSON.stringify(change({ z: 1, b: 2 }, 'a', 3, ['a', 'b']))).toBe('{"a":3,"b":2,"z":1}');
    expect(change({ a: 1, b: 2 }, 'a', undefined, ['a', 'b'])).toEqual({ b: 2 });
    const odd = change({}, '__proto__', { x: 1 }, []);
    expect(JSON.stringify(odd)).toBe('{"__proto__":{"x":1}}');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
  it('that a control cannot show is shown as JSON', () => {
    expect(shows(node({ type: 'string' }, {}), 3)).toBe(false);
    expect(shows(node({ type: 'string' }, {}), null)).toBe(false);
    expect(shows(node({ type: 'object', properties: { a: {} } }, {}), [])).toBe(false);
    expect(shows(node({ type: 'integer' }, {}), undefined)).toBe(true);
  });
});

describe('an image', () => {
  const png = btoa('\x89PNG\r\n\x1a\n....');
  it('is shown if its bytes are what they are said to be', () => {
    expect(imageOf(png, 'image/png')?.type).toBe('image/png');
    expect(imageOf(png, 'IMAGE/PNG; x=y')?.type).toBe('image/png');
    expect(imageOf(btoa('RIFF....WEBPVP8 '), 'image/webp')).not.toBeNull();
    for (const [data, type] of [[png, 'image/svg+xml'], [btoa('<svg onload=x>'), 'image/png'], [btoa('RIFF....WAVE'), 'image/webp'], [png, 'text/html'], ['%', 'image/png'], [undefined, 'image/png'], [png, undefined], [png, 'constructor']]) {
      expect(imageOf(data, type)).toBeNull();
    }
  });
});
