/** Ready entries for popular servers: what each needs, and the settings that it becomes. As `doorward catalog add` does it. */
import type { Schemas } from '../api/client';

export type Entry = Schemas['CatalogItem'];
export type Parameter = Schemas['CatalogParameter'];
export type Settings = Record<string, unknown>;
/** How callers of the gateway authenticate to the server. */
export type Needs = 'nothing' | 'key' | 'login';
/** Where the gateway finds a secret. */
export type Source = 'env' | 'file' | 'vault';
/** What is wrong with a value, as a member of `texts.add.wrong`. */
export type Wrong = 'required' | 'secret' | 'reference' | 'characters' | 'pattern';

const MOST = 2_048;
export const isService = (entry: Entry): boolean => 'url' in entry.server;

export function needs(entry: Entry): Needs {
  if ('delegated' in entry.server) return 'login';
  return entry.parameters.some((it) => it.secret) ? 'key' : 'nothing';
}

const REFERENCES: Record<Source, RegExp> = {
  env: /^[A-Za-z_][A-Za-z0-9_]*$/,
  file: /^\/[^{}\u0000-\u001f]+$/,
  vault: /^[^{}#\u0000-\u001f]+#[^{}#\u0000-\u001f]+$/,
};

const isKnownKey = (text: string): boolean =>
  /^(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[a-z]|dwk|dw|npm|pypi|hf|key|pat|lin_api|ntn|secret|shpat|AKIA|AIza|ya29|eyJ)[-_.A-Za-z0-9]*[A-Za-z0-9]{12,}/.test(text);
/** Texts that are secrets by their form: keys of known services, and long texts of mixed letters and digits. */
export const looksSecret = (text: string): boolean =>
  isKnownKey(text) || (/^[A-Za-z0-9+/_=.-]{24,}$/.test(text) && /\d/.test(text) && /[A-Za-z]/.test(text) && !/^[./]|\/\/|\.(?:com|io|dev|org|net|json|js|py)\b/.test(text));

/** A reference to a secret, or what is wrong with it. A secret itself is never taken. */
export function reference(source: Source, name: string): { text: string } | { wrong: Wrong } {
  const trimmed = name.trim();
  if (trimmed === '') return { wrong: 'required' };
  if (source === 'env' && (isKnownKey(trimmed) || (looksSecret(trimmed) && trimmed !== trimmed.toUpperCase()))) return { wrong: 'secret' };
  return REFERENCES[source].test(trimmed) ? { text: `\${${source}:${trimmed}}` } : { wrong: 'reference' };
}

function value(parameter: Parameter, given: string | undefined): { text: string | undefined } | { wrong: Wrong } {
  if (!given) {
    if (parameter.variable) return { text: `\${env:${parameter.variable}}` };
    return parameter.required && !parameter.default ? { wrong: 'required' } : { text: parameter.default ?? undefined };
  }
  const isReference = given.startsWith('${') && given.endsWith('}') && !given.includes('{{');
  if (parameter.secret && !isReference) return { wrong: 'secret' };
  if (isReference) return { text: given };
  if (new TextEncoder().encode(given).length > MOST || /\p{Cc}/u.test(given) || given.includes('{{')) return { wrong: 'characters' };
  if (parameter.pattern && !matches(parameter.pattern, given)) return { wrong: 'pattern' };
  return { text: given };
}

/** A pattern that cannot be read here is for the gateway to judge. */
function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(text);
  } catch {
    return true;
  }
}

/** A value with parameters filled in; `undefined` if it needs one that has no value. */
function filled(into: unknown, values: ReadonlyMap<string, string>): unknown {
  if (typeof into === 'string') {
    let complete = true;
    const text = into.replace(/\{\{(.*?)\}\}/g, (_, name: string) => {
      complete &&= values.has(name);
      return values.get(name) ?? '';
    });
    return complete ? text : undefined;
  }
  if (Array.isArray(into)) return into.map((it) => filled(it, values)).filter((it) => it !== undefined);
  if (typeof into !== 'object' || into === null) return into;
  return Object.fromEntries(Object.entries(into).flatMap(([name, it]) => {
    const made = filled(it, values);
    return made === undefined ? [] : [[name, made]];
  }));
}

/** The settings of an entry for people: the title of a parameter stands where its value is not known yet. */
export function described(entry: Entry, given: Readonly<Record<string, string>>): Settings {
  const values = entry.parameters.map((it): [string, string] => [it.name, given[it.name]?.trim() || `‹${it.title}›`]);
  return filled(entry.server, new Map(values)) as Settings;
}

export interface Filled {
  /** The server's settings; what is missing or wrong is left out of them. */
  settings: Settings;
  wrong: Record<string, Wrong>;
}

/** The settings of an entry with these values of its parameters. */
export function fill(entry: Entry, given: Readonly<Record<string, string>>): Filled {
  const wrong: Record<string, Wrong> = {};
  const values = new Map<string, string>();
  for (const parameter of entry.parameters) {
    const found = value(parameter, given[parameter.name]?.trim());
    if ('wrong' in found) wrong[parameter.name] = found.wrong;
    else if (found.text !== undefined) values.set(parameter.name, found.text);
  }
  return { settings: filled(entry.server, values) as Settings, wrong };
}

/** Why a server cannot be proposed, as a member of `texts.add.whyNot`. */
export type WhyNot = 'program' | 'login' | 'keys' | 'address';
export type Proposal = { settings: Settings; personal: boolean } | { whyNot: WhyNot };

/** Headers that the gateway takes from no proposal: callers' own are stored encrypted. */
export const isCredential = (header: string): boolean =>
  /^(?:authorization|proxy-authorization|cookie|x-api-key|api-key|x-auth-token)$/i.test(header);
const refers = (it: unknown): boolean => JSON.stringify(it ?? null).includes('${');

/** What a proposal may contain: no secret of the gateway, so that each caller provides their own key. */
export function proposal(settings: Settings): Proposal {
  const { public_only: _, headers, ...rest } = settings;
  if (typeof rest['url'] !== 'string') return { whyNot: 'program' };
  if ('delegated' in rest) return { whyNot: 'login' };
  if (refers(rest)) return { whyNot: 'address' };
  const all = Object.entries((headers ?? {}) as Record<string, unknown>);
  const secret = all.filter(([name, it]) => isCredential(name) || refers(it));
  const plain = Object.fromEntries(all.filter((it) => !secret.includes(it)));
  const made: Settings = { ...rest, ...(Object.keys(plain).length > 0 ? { headers: plain } : {}) };
  if (secret.length > 1) return { whyNot: 'keys' };
  const [one] = secret;
  if (!one) return { settings: made, personal: false };
  const [header, it] = one;
  const scheme = /^([A-Za-z]+) /.exec(String(it))?.[1];
  return { settings: { ...made, personal: { header, ...(scheme ? { scheme } : {}), required: true } }, personal: true };
}

/** Variables that the gateway's environment must have for these settings. */
export const variables = (settings: Settings): string[] =>
  [...new Set([...JSON.stringify(settings).matchAll(/(?<!\$)\$\{env:([A-Za-z0-9_]+)\}/g)].map((it) => it[1] ?? ''))];

/** What of a server says that it is the same as another: the address of a service, or the package. */
export function identity(settings: Settings): string | null {
  const { url } = settings;
  if (typeof url === 'string') return URL.canParse(url) ? new URL(url).origin + new URL(url).pathname.replace(/\/+$/, '') : null;
  const found = settings['package'] as { npm?: unknown; pypi?: unknown } | undefined;
  if (typeof found?.npm === 'string') return `npm:${found.npm}`;
  return typeof found?.pypi === 'string' ? `pypi:${found.pypi}` : null;
}

/** A word of a command, for POSIX shells. */
const word = (text: string): string => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The command that adds the same to the configuration file. */
export function command(entry: Entry, name: string, given: Readonly<Record<string, string>>): string {
  const set = entry.parameters.flatMap((it) => {
    const text = given[it.name]?.trim();
    return text && text !== it.default && text !== `\${env:${it.variable ?? ''}}` ? ['--set', word(`${it.name}=${text}`)] : [];
  });
  return ['doorward catalog add', word(entry.id), ...(name === entry.id ? [] : ['--name', word(name)]), ...set, '--file doorward.yaml'].join(' ');
}
