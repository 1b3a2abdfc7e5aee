/** How lists name principals: `user "alice"`, `service account "nightly"`, and an agent that acts for somebody. */

const named = (kind: string, name: string): string[] =>
  [kind, kind.replaceAll('_', ' '), kind.replaceAll('_', '-')].map((it) => `${it} ${JSON.stringify(name)}`);

/** Whether a list's name of a principal is that of this one: alone, with an agent, or as one who acts for another. */
export function isOf(text: string | null | undefined, kind: string, name: string): boolean {
  if (!text) return false;
  return named(kind, name).some((it) => text === it || text.startsWith(`${it} `) || text.startsWith(`${it},`) || text.endsWith(` ${it}`));
}

/** The kind and the name that a list names. */
export function parts(text: string): { kind: string; name: string } | null {
  const found = /^([a-z][a-z_ -]*?) ("(?:[^"\\]|\\.)*")$/.exec(text);
  if (!found?.[1] || !found[2]) return null;
  try {
    return { kind: found[1].replace(/[ -]/g, '_'), name: JSON.parse(found[2]) as string };
  } catch {
    return null;
  }
}

/** A principal for a person to read: users and agents by their name alone. */
export function shortly(text: string): string {
  const found = parts(text);
  return !found ? text : found.kind === 'user' || found.kind === 'agent' ? found.name : `${found.kind.replaceAll('_', ' ')} ${found.name}`;
}

/** The user of a grant of the gateway's own authorization server, by the settings in effect: `NAME:SUBJECT`. */
export function userOfGrant(settings: unknown, subject: string): string {
  const identity = (settings as { identity?: { authorization_server?: { name?: string } } } | null)?.identity;
  return `${identity?.authorization_server?.name ?? 'login'}:${subject}`;
}

/** Words that are separated by commas or spaces. */
export const list = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))];
