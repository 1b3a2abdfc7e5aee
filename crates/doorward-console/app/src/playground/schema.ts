/**
 * A form from a JSON Schema. The form is a view of a JSON value: one level of the schema becomes a node that says which
 * control edits the value there; what no control can edit is edited as JSON. Recursive schemas are as deep as their values.
 */
import { texts } from '../texts';
import { isObject, textOf, type Json } from '../mcp/types';

export type Kind = 'string' | 'number' | 'boolean' | 'enum' | 'many' | 'const' | 'object' | 'array' | 'variants' | 'json';
export interface Option {
  value: unknown;
  label: string;
}
export interface Member {
  name: string;
  schema: unknown;
  required: boolean;
}
export interface Node {
  kind: Kind;
  schema: Json;
  title: string | undefined;
  description: string | undefined;
  /** `null` is allowed besides. */
  nullable: boolean;
  whole: boolean;
  /** The type of an input: `text`, `email`, `url`, `date`, `time`, `password`, or `area` for several lines. */
  input: string;
  options: Option[];
  members: Member[];
  variants: { label: string; schema: unknown }[];
  items: unknown;
}

const DEEPEST = 24;

function pointer(root: unknown, ref: string): unknown {
  if (!ref.startsWith('#')) return undefined;
  let at = root;
  for (const part of ref.slice(1).split('/').slice(1)) {
    let name = part;
    try {
      name = decodeURIComponent(part);
    } catch {
      // As it is written.
    }
    name = name.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Json)[name];
  }
  return at;
}

/** A schema with its references and parts put together; `null` if that is not possible. */
export function flat(schema: unknown, root: unknown, depth = 0): Json | null {
  if (schema === true || schema === undefined) return {};
  if (!isObject(schema) || depth > DEEPEST) return null;
  let made: Json = schema;
  const ref = schema['$ref'] ?? schema['$dynamicRef'];
  if (typeof ref === 'string') {
    const target = flat(pointer(root, ref) ?? false, root, depth + 1);
    if (!target) return null;
    const { $ref: _ref, $dynamicRef: _dynamic, ...own } = schema;
    made = join(target, own);
  }
  if (Array.isArray(made['allOf'])) {
    const { allOf, ...own } = made;
    let parts: Json = {};
    for (const part of allOf as unknown[]) {
      const one = flat(part, root, depth + 1);
      if (!one) return null;
      parts = join(parts, one);
    }
    made = join(parts, own);
  }
  return made;
}

function join(a: Json, b: Json): Json {
  const made = { ...a, ...b };
  if (isObject(a['properties']) && isObject(b['properties'])) made['properties'] = { ...a['properties'], ...b['properties'] };
  if (Array.isArray(a['required']) && Array.isArray(b['required'])) made['required'] = [...new Set([...(a['required'] as unknown[]), ...(b['required'] as unknown[])])];
  return made;
}

export const label = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value)) ?? '';
const LONG = /(^|_)(body|text|content|message|description|query|sql|code|prompt|markdown|html)$/i;

export function node(schema: unknown, root: unknown, name = ''): Node {
  const found = flat(schema, root);
  const own = found ?? {};
  const base: Node = {
    kind: 'json', schema: own, title: textOf(own['title']), description: textOf(own['description']), nullable: false, whole: false,
    input: 'text', options: [], members: [], variants: [], items: undefined,
  };
  if (!found) return base;
  if (Object.hasOwn(own, 'const')) return { ...base, kind: 'const', options: [{ value: own['const'], label: label(own['const']) }] };

  const types = new Set(Array.isArray(own['type']) ? (own['type'] as unknown[]) : own['type'] === undefined ? [] : [own['type']]);
  if (types.size > 1 && types.delete('null')) base.nullable = true;

  if (Array.isArray(own['enum'])) {
    const names = Array.isArray(own['enumNames']) ? (own['enumNames'] as unknown[]) : [];
    const options = (own['enum'] as unknown[]).map((value, at) => ({ value, label: textOf(names[at]) ?? label(value) }));
    return { ...base, kind: 'enum', nullable: false, options };
  }
  const choice = own['oneOf'] ?? own['anyOf'];
  if (Array.isArray(choice) && choice.length > 0) {
    const parts = choice.map((it: unknown) => ({ schema: it, flat: flat(it, root) }));
    if (parts.every((it) => it.flat && Object.hasOwn(it.flat, 'const'))) {
      const options = parts.map((it) => ({ value: it.flat?.['const'], label: textOf(it.flat?.['title']) ?? label(it.flat?.['const']) }));
      return { ...base, kind: 'enum', options };
    }
    const { oneOf: _one, anyOf: _any, ...rest } = own;
    const kept = parts.filter((it) => it.flat?.['type'] !== 'null');
    const only = kept.length === 1 ? kept[0] : undefined;
    if (only?.flat && kept.length < parts.length) return { ...node(join(only.flat, rest), root, name), nullable: true };
    if (parts.every((it) => it.flat)) {
      // What stands beside the choice holds for each of its members.
      const { title: _title, description: _description, default: _default, ...common } = rest;
      const variants = parts.map((it, at) => ({ label: nameOf(it.flat ?? {}, at), schema: join(common, it.flat ?? {}) as unknown }));
      return { ...base, kind: 'variants', variants };
    }
    return base;
  }
  if (types.size > 1) {
    const variants = [...types].map((type) => ({ label: label(type), schema: { ...own, type } as unknown }));
    return { ...base, kind: 'variants', variants };
  }
  const type = [...types][0] ?? (isObject(own['properties']) ? 'object' : undefined);
  switch (type) {
    case 'string': {
      const by = new Map([['email', 'email'], ['uri', 'url'], ['url', 'url'], ['date', 'date'], ['password', 'password']]);
      const format = textOf(own['format']) ?? '';
      const long = (typeof own['maxLength'] === 'number' && own['maxLength'] > 200) || own['contentMediaType'] !== undefined || (format === '' && LONG.test(name));
      return { ...base, kind: 'string', input: by.get(format) ?? (long ? 'area' : 'text') };
    }
    case 'integer':
    case 'number':
      return { ...base, kind: 'number', whole: type === 'integer' };
    case 'boolean':
      return { ...base, kind: 'boolean' };
    case 'array': {
      if (Array.isArray(own['prefixItems']) || Array.isArray(own['items']) || own['items'] === false) return base;
      const item = node(own['items'], root);
      if (item.kind === 'enum' && own['uniqueItems'] !== false && item.options.length <= 40) return { ...base, kind: 'many', options: item.options, items: own['items'] };
      return { ...base, kind: 'array', items: own['items'] };
    }
    case 'object': {
      const properties = isObject(own['properties']) ? own['properties'] : {};
      const required = new Set(Array.isArray(own['required']) ? (own['required'] as unknown[]) : []);
      const members = Object.entries(properties).map(([name, schema]) => ({ name, schema, required: required.has(name) }));
      // Names that are not known beforehand, and members that no schema names, are written as JSON.
      if (members.length === 0 && own['additionalProperties'] !== false && Object.keys(own).some((key) => key !== 'type')) {
        const free = own['additionalProperties'] !== undefined || own['patternProperties'] !== undefined;
        if (free || required.size > 0) return base;
      }
      return { ...base, kind: 'object', members };
    }
    default:
      return base;
  }
}

function nameOf(schema: Json, at: number): string {
  const title = textOf(schema['title']);
  if (title) return title;
  if (isObject(schema['properties'])) {
    for (const [name, member] of Object.entries(schema['properties'])) {
      if (isObject(member) && Object.hasOwn(member, 'const')) return `${name}: ${label(member['const'])}`;
    }
    return `${at + 1}: ${Object.keys(schema['properties']).slice(0, 3).join(', ')}`;
  }
  return typeof schema['type'] === 'string' ? schema['type'] : String(at + 1);
}

/** What a form begins with: defaults, constants, and the objects that are required. */
export function initial(schema: unknown, root: unknown, required = true, depth = 0): unknown {
  const own = node(schema, root);
  if (Object.hasOwn(own.schema, 'default')) return structuredClone(own.schema['default']);
  if (depth > 12) return undefined;
  if (!required) return undefined;
  if (own.kind === 'const') return structuredClone(own.options[0]?.value);
  if (own.kind === 'object') {
    const made: Json = {};
    for (const member of own.members) {
      const value = initial(member.schema, root, member.required, depth + 1);
      if (value !== undefined) put(made, member.name, value);
    }
    return made;
  }
  if (own.kind === 'array' || own.kind === 'many') {
    const least = Math.min(20, typeof own.schema['minItems'] === 'number' ? own.schema['minItems'] : 0);
    const first = own.kind === 'array' ? Array.from({ length: least }, () => initial(own.items, root, true, depth + 1) ?? null) : [];
    return first;
  }
  if (own.kind === 'variants') return initial(own.variants[0]?.schema, root, true, depth + 1);
  return undefined;
}

function put(object: Json, name: string, value: unknown): void {
  // A member that is called '__proto__' is a member like any other.
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

/** An object with one member changed, or left out, in the order of its schema. */
export function change(object: Json, name: string, value: unknown, order: readonly string[]): Json {
  const made: Json = {};
  const names = new Set([...order, ...Object.keys(object), name]);
  for (const key of names) {
    const next = key === name ? value : Object.hasOwn(object, key) ? object[key] : undefined;
    if (next !== undefined) put(made, key, next);
  }
  return made;
}

/** Whether a control of this kind can show the value. */
export function shows(own: Node, value: unknown): boolean {
  if (value === undefined) return true;
  if (value === null) return own.nullable || own.kind === 'enum' || own.kind === 'const' || own.kind === 'variants';
  switch (own.kind) {
    case 'string': return typeof value === 'string';
    case 'number': return typeof value === 'number';
    case 'boolean': return typeof value === 'boolean';
    case 'object': return isObject(value);
    case 'array': case 'many': return Array.isArray(value);
    default: return true;
  }
}

export const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

export interface Fault {
  /** A JSON pointer. */
  path: string;
  text: string;
}
const MOST = 100;
const escape = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** What does not fit. The server decides: keywords that are not known here are left to it. */
export function faults(schema: unknown, root: unknown, value: unknown, required = true): Fault[] {
  const found: Fault[] = [];
  check(schema, root, value, required, '', found, 0);
  return found;
}

function check(schema: unknown, root: unknown, value: unknown, required: boolean, path: string, found: Fault[], depth: number): void {
  if (found.length >= MOST || depth > 64) return;
  const w = texts.playground.wrong;
  const say = (text: string): void => void found.push({ path, text });
  if (value === undefined) {
    if (required) say(w.required);
    return;
  }
  const own = node(schema, root);
  if (value === null && own.nullable) return;
  const s = own.schema;
  const limit = (name: string): number | undefined => (typeof s[name] === 'number' ? s[name] : undefined);
  const over = (name: string, is: (n: number) => boolean, text: (n: number) => string): void => {
    const n = limit(name);
    if (n !== undefined && is(n)) say(text(n));
  };
  switch (own.kind) {
    case 'const':
      if (!same(value, own.options[0]?.value)) say(w.const(own.options[0]?.label ?? ''));
      return;
    case 'enum':
      if (!own.options.some((it) => same(it.value, value))) say(w.enum);
      return;
    case 'variants':
      if (!own.variants.some((it) => faults(it.schema, root, value).length === 0)) say(w.none);
      return;
    case 'string': {
      if (typeof value !== 'string') return say(w.type(texts.playground.kinds.string));
      const length = [...value].length;
      over('minLength', (n) => length < n, w.short);
      over('maxLength', (n) => length > n, w.long);
      if (typeof s['pattern'] === 'string' && s['pattern'].length < 200 && value.length < 1_000) {
        try {
          if (!new RegExp(s['pattern'], 'u').test(value)) say(w.pattern(s['pattern']));
        } catch {
          // Not a pattern of this language: the server knows it.
        }
      }
      return;
    }
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value) || (own.whole && !Number.isInteger(value))) return say(w.type(own.whole ? texts.playground.kinds.integer : texts.playground.kinds.number));
      over('minimum', (n) => value < n, w.min);
      over('maximum', (n) => value > n, w.max);
      over('exclusiveMinimum', (n) => value <= n, w.above);
      over('exclusiveMaximum', (n) => value >= n, w.below);
      over('multipleOf', (n) => n > 0 && Math.abs(value / n - Math.round(value / n)) > 1e-9, w.multiple);
      return;
    case 'boolean':
      if (typeof value !== 'boolean') say(w.type(texts.playground.kinds.boolean));
      return;
    case 'many':
    case 'array':
      if (!Array.isArray(value)) return say(w.type(texts.playground.kinds.array));
      over('minItems', (n) => value.length < n, w.few);
      over('maxItems', (n) => value.length > n, w.many);
      value.forEach((it: unknown, at) => check(own.items, root, it, true, `${path}/${at}`, found, depth + 1));
      return;
    case 'object': {
      if (!isObject(value)) return say(w.type(texts.playground.kinds.object));
      for (const member of own.members) check(member.schema, root, Object.hasOwn(value, member.name) ? value[member.name] : undefined, member.required, `${path}/${escape(member.name)}`, found, depth + 1);
      if (s['additionalProperties'] === false && s['patternProperties'] === undefined) {
        const known = new Set(own.members.map((it) => it.name));
        for (const name of Object.keys(value)) if (!known.has(name)) say(w.extra(name));
      }
      return;
    }
    case 'json': {
      const type = s['type'];
      if (type === 'object' && !isObject(value)) say(w.type(texts.playground.kinds.object));
      if (type === 'array' && !Array.isArray(value)) say(w.type(texts.playground.kinds.array));
      return;
    }
  }
}
