/** The file of an MCP client, read in the browser: its servers as settings of the gateway, with secrets as references. */
import { isCredential, looksSecret, type Settings } from './catalog';
import { parseJsonc, type JsonFault } from './jsonc';

export const MOST_BYTES = 1 << 20;
const MOST_SERVERS = 200;

/** A text of a server that may hold a secret: before it and after it is what is none. */
export interface Value {
  /** `headers/Authorization`, `env/KEY`, `args/3` or `url`. */
  id: string;
  before: string;
  value: string;
  after: string;
  /** The variable of the gateway's environment that takes its place. */
  variable: string;
  /** Whether it is one, by its name and form. */
  secret: boolean;
}

export interface Found {
  /** As the file names it. */
  from: string;
  /** A name that the gateway can give it. */
  name: string;
  settings: Settings;
  values: Value[];
  /** Members of the entry that mean nothing to the gateway. */
  ignored: string[];
  /** References that only the editor can fill in. */
  unknown: string[];
}

/** Why a text is not a client's file, as a member of `texts.add.file.problems`. */
export type FileProblem = { kind: 'empty' | 'large' | 'toml' | 'none' | 'many' } | { kind: 'json'; line: number; fault: JsonFault };

type Members = Record<string, unknown>;
const isObject = (it: unknown): it is Members => typeof it === 'object' && it !== null && !Array.isArray(it);
const member = (of: Members, name: string): unknown => (Object.hasOwn(of, name) ? of[name] : undefined);
const entriesOf = (it: unknown): [string, unknown][] => (isObject(it) ? Object.entries(it) : []);

/** The servers of a file, wherever its client keeps them. */
function serversIn(file: Members): [string, unknown][] {
  const inSettings = member(file, 'mcp');
  const lists = [member(file, 'mcpServers'), member(file, 'servers'), member(file, 'context_servers'), isObject(inSettings) ? member(inSettings, 'servers') : null];
  // Claude Code keeps those of each project in the user's file.
  const projects = entriesOf(member(file, 'projects')).map(([, it]) => (isObject(it) ? member(it, 'mcpServers') : null));
  return [...lists, ...projects].flatMap(entriesOf);
}

export function readClientFile(text: string): { servers: Found[] } | { problem: FileProblem } {
  if (text.trim() === '') return { problem: { kind: 'empty' } };
  if (text.length > MOST_BYTES) return { problem: { kind: 'large' } };
  if (/^\s*\[mcp_servers[.\]]/m.test(text)) return { problem: { kind: 'toml' } };
  const read = parseJsonc(text);
  if ('line' in read) return { problem: { kind: 'json', ...read } };
  const all = isObject(read.value) ? serversIn(read.value) : [];
  if (all.length === 0) return { problem: { kind: 'none' } };
  if (all.length > MOST_SERVERS) return { problem: { kind: 'many' } };
  const taken = new Set<string>();
  return { servers: all.map(([from, entry]) => translate(from, nameOf(from, taken), isObject(entry) ? entry : {})) };
}

export const isServerName = (text: string): boolean => /^[A-Za-z][A-Za-z0-9.-]{0,63}$/.test(text) && text !== 'status';

/** A name that the gateway can take, and no other server of the file has. */
function nameOf(from: string, taken: Set<string>): string {
  let base = from.trim().replace(/[^A-Za-z0-9.-]/gu, '-').slice(0, 64);
  if (!/^[A-Za-z]/.test(base)) base = `s${base}`.slice(0, 64);
  if (base === 'status') base = 'status-1';
  let name = base;
  for (let n = 2; taken.has(name.toLowerCase()); n += 1) name = `${base.slice(0, 63 - String(n).length)}-${n}`;
  taken.add(name.toLowerCase());
  return name;
}

/** What only the client itself acts upon. */
const WITHOUT_MEANING = ['name', 'description', 'icon', 'gallery', 'version', 'alwaysAllow', 'autoApprove', 'disabledTools', 'dev', 'trust', 'scope', 'tools', 'fromGalleryId', 'type', 'transport', 'transportType', 'source'];
const SECRET_NAME = /key|token|secret|passw|pwd|credential|auth|cookie|(?:^|[_-])pat(?:$|[_-])|dsn|connection/i;
const asText = (it: unknown): string | null => (typeof it === 'string' ? it : typeof it === 'number' || typeof it === 'boolean' ? String(it) : null);

function translate(from: string, name: string, entry: Members): Found {
  const found: Found = { from, name, settings: {}, values: [], ignored: [], unknown: [] };
  const { settings } = found;
  const prefix = name.toUpperCase().replace(/[^A-Z0-9]+/g, '_');
  const variableOf = (part: string): string => {
    const word = part.toUpperCase().replace(/[^A-Z0-9]+/g, '_').replace(/^_+|_+$/g, '');
    return `${prefix}_${word || 'SECRET'}`;
  };
  /** A text with the references of clients as the gateway writes them. */
  const rewritten = (text: string): string =>
    text.replace(/(\$?)\$\{([^}]*)\}/g, (whole, escaped: string, inner: string) => {
      if (escaped) return whole;
      if (inner.startsWith('env:')) return whole;
      const input = /^input:([\w.-]+)$/.exec(inner)?.[1];
      if (input) return `\${env:${variableOf(input)}}`;
      if (/^\w+(?::-.*)?$/.test(inner) && !/^(?:workspaceFolder|workspaceFolderBasename|userHome|pathSeparator)$/.test(inner)) return `\${env:${inner}}`;
      found.unknown.push(whole);
      return whole;
    }).replace(/^((?:[A-Za-z]+ )?)\$([A-Za-z_]\w*)$/, '$1${env:$2}');
  const add = (id: string, before: string, value: string, after: string, variable: string, secret: boolean): string => {
    if (value !== '' && !value.includes('${')) found.values.push({ id, before, value, after, variable, secret });
    return before + value + after;
  };

  /** Headers and variables: each has a name and a text. */
  const named = (part: 'headers' | 'env', it: unknown): void => {
    const made = entriesOf(it).flatMap(([key, raw]): [string, string][] => {
      const text = asText(raw);
      if (text === null) {
        if (raw !== null) found.ignored.push(`${part}.${key}`);
        return [];
      }
      const [, scheme = '', value = ''] = (part === 'headers' ? /^((?:Bearer|Basic|Token|ApiKey) )?([^]*)$/i : /^()([^]*)$/).exec(rewritten(text)) ?? [];
      const secret = SECRET_NAME.test(key) || isCredential(key) || looksSecret(value) || hasPassword(value);
      return [[key, add(`${part}/${key}`, scheme, value, '', part === 'env' && /^\w+$/.test(key) ? key : variableOf(key), secret)]];
    });
    if (made.length > 0) settings[part] = Object.fromEntries(made);
  };
  const args = (it: unknown): void => {
    let flag = '';
    settings['args'] = (Array.isArray(it) ? it : []).flatMap((raw, at) => {
      const text = asText(raw);
      if (text === null) return [];
      const value = rewritten(text);
      const before = flag;
      flag = /^--?[\w-]+$/.test(value) ? value : '';
      // `--api-key=…`, `Authorization: Bearer …` and what follows `--token`.
      const [, named_ = '', rest = ''] = /^(--?[\w-]+=|[\w-]+:\s*(?:Bearer |Basic )?)([^]*)$/.exec(value) ?? [];
      const byName = named_ !== '' && SECRET_NAME.test(named_) && !/^[\w-]+:\/\//.test(value);
      if (byName) return [add(`args/${at}`, named_, rest, '', variableOf(named_.replace(/[=:].*$/, '')), true)];
      const secret = (before !== '' && flag === '' && SECRET_NAME.test(before)) || looksSecret(value) || hasPassword(value);
      return [secret ? add(`args/${at}`, '', value, '', variableOf(before), true) : value];
    });
  };
  const url = (it: unknown): void => {
    const text = rewritten(asText(it) ?? '');
    const query = [...text.matchAll(/[?&]([^=&#]+)=([^&#]+)/g)].find(([, key = '', value = '']) => SECRET_NAME.test(key) || looksSecret(value));
    if (query) {
      const start = query.index + query[0].length - (query[2] ?? '').length;
      settings['url'] = add('url', text.slice(0, start), query[2] ?? '', text.slice(start + (query[2] ?? '').length), variableOf(query[1] ?? ''), true);
    } else settings['url'] = hasPassword(text) ? add('url', '', text, '', variableOf('url'), true) : text;
  };

  for (const [key, it] of Object.entries(entry)) {
    if (key === 'command' && isObject(it)) {
      // Zed has written a command with its parts.
      settings['command'] = rewritten(asText(member(it, 'path')) ?? '');
      args(member(it, 'args'));
      named('env', member(it, 'env'));
    } else if (key === 'command' || key === 'cwd') settings[key] = rewritten(asText(it) ?? '');
    else if (key === 'args') args(it);
    else if (key === 'url' || key === 'serverUrl' || key === 'httpUrl') url(it);
    else if (key === 'headers' || key === 'env') named(key, it);
    else if (key === 'disabled' || key === 'enabled') {
      if (it === (key === 'disabled')) settings['disabled'] = true;
    } else if (!WITHOUT_MEANING.includes(key)) found.ignored.push(key);
  }
  if (Array.isArray(settings['args']) && settings['args'].length === 0) delete settings['args'];
  return found;
}

/** Addresses with a password, such as those of databases. */
const hasPassword = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\/\/[^/\s:@]*:[^/\s@]+@/i.test(text);

/** The settings of a server, with these of its values as references. */
export function settled(found: Found, secret: ReadonlySet<string>): Settings {
  const values = new Map(found.values.map((it) => [it.id, it.before + (secret.has(it.id) ? `\${env:${it.variable}}` : it.value.replaceAll('${', '$${')) + it.after]));
  const made = (id: string, text: unknown): unknown => values.get(id) ?? text;
  return Object.fromEntries(Object.entries(found.settings).map(([name, it]) => {
    if (Array.isArray(it)) return [name, it.map((text, at) => made(`args/${at}`, text))];
    if (isObject(it)) return [name, Object.fromEntries(Object.entries(it).map(([key, text]) => [key, made(`${name}/${key}`, text)]))];
    return [name, made(name, it)];
  }));
}

/** The package that a command starts, as the catalogue names packages. */
export function packageOf(settings: Settings): string | null {
  const command = String(settings['command'] ?? '').replace(/^.*[/\\]/, '').replace(/\.(?:exe|cmd)$/i, '');
  const registry = ['npx', 'bunx', 'pnpx'].includes(command) ? 'npm' : ['uvx', 'pipx'].includes(command) ? 'pypi' : null;
  const args = Array.isArray(settings['args']) ? settings['args'].map(String) : [];
  const first = args.find((it, at) => !it.startsWith('-') && it !== 'run' && args[at - 1] !== '--from' && args[at - 1] !== '-p');
  const named = args[args.findIndex((it) => it === '--from' || it === '--package' || it === '-p') + 1];
  const spec = args.some((it) => it === '--from' || it === '--package' || it === '-p') ? named : first;
  if (!registry || !spec) return null;
  const bare = registry === 'npm' ? spec.replace(/(?<=.)@[^/]*$/, '') : spec.replace(/(?:\[[^\]]*\])?(?:[@=<>~!].*)?$/, '');
  return `${registry}:${bare}`;
}
