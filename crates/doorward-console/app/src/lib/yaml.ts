/** JSON values as YAML 1.2, one member a line. What could be read as anything but the text that it is stands in quotes. */

const PLAIN = /^[A-Za-z_/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+-]+)*$/;
/** Words that some reader of YAML takes for something else than text. */
const WORDS = /^(?:true|false|yes|no|on|off|y|n|null|~)$/i;
/** JSON leaves these as they are, and YAML does not take them. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;

function text(value: string): string {
  if (PLAIN.test(value) && !WORDS.test(value)) return value;
  return JSON.stringify(value).replace(UNPRINTABLE, (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const isEmpty = (value: object): boolean => Object.keys(value).length === 0;

function write(value: unknown, indent: string): string {
  if (typeof value === 'string') return ` ${text(value)}\n`;
  if (Array.isArray(value)) {
    if (value.length === 0) return ' []\n';
    return `\n${value.map((it) => `${indent}-${item(it, `${indent}  `)}`).join('')}`;
  }
  if (typeof value === 'object' && value !== null) {
    return isEmpty(value) ? ' {}\n' : `\n${members(value, indent)}`;
  }
  return ` ${JSON.stringify(value ?? null)}\n`;
}

const members = (value: object, indent: string): string =>
  Object.entries(value).map(([name, member]) => `${indent}${text(name)}:${write(member, `${indent}  `)}`).join('');

/** An item of a list: its first member stands behind the dash. */
function item(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isEmpty(value)) return write(value, indent);
  return ` ${members(value, indent).slice(indent.length)}`;
}

export function yaml(value: Record<string, unknown>): string {
  return isEmpty(value) ? '{}\n' : members(value, '');
}
