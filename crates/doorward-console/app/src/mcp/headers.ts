/** What of a request its headers repeat. */
import { isObject, type Json } from './types';

const MARK = '=?base64?';

/** A header's value: as it is if it is plain visible ASCII, and encoded otherwise. */
export function headerValue(text: string): string {
  const plain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !text.startsWith(MARK);
  if (plain) return text;
  let bytes = '';
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return `${MARK}${btoa(bytes)}?=`;
}

/** `Mcp-Param-…`: the arguments that the tool's schema asks to repeat. */
export function paramHeaders(schema: Json | undefined, args: Json): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (schema: unknown, value: unknown, depth: number): void => {
    if (!isObject(schema) || !isObject(schema['properties']) || !isObject(value) || depth > 16) return;
    for (const [name, member] of Object.entries(schema['properties'])) {
      if (!isObject(member) || !Object.hasOwn(value, name)) continue;
      const given = value[name];
      const header = member['x-mcp-header'];
      if (typeof header === 'string' && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(header) && given !== null && ['string', 'number', 'boolean'].includes(typeof given)) {
        found[`Mcp-Param-${header}`] = headerValue(String(given));
      }
      walk(member, given, depth + 1);
    }
  };
  walk(schema, args, 0);
  return found;
}
