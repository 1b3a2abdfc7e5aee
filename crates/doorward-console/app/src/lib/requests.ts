/** Requests for access: the policy that would grant one, as a draft. */
import type { RequestKind } from '../api/portal';

const ENTITY = { user: 'User', agent: 'Agent', service_account: 'ServiceAccount', team: 'Team', tenant: 'Tenant' } as const;

/** A text as Cedar writes it: nothing in it can end the text or begin another policy. */
export function cedarText(text: string): string {
  const inside = [...text].map((it) => {
    if (it === '"' || it === '\\') return `\\${it}`;
    const code = it.codePointAt(0) ?? 0;
    return code < 32 || (code > 126 && code < 160) || code === 0x2028 || code === 0x2029 ? `\\u{${code.toString(16)}}` : it;
  });
  return `"${inside.join('')}"`;
}

const RESOURCES: Record<RequestKind, (name: string) => string> = {
  tool: (name) => `resource == Tool::${cedarText(name)}`,
  server: (name) => `resource in Server::${cedarText(name)}`,
  new_server: (name) => `resource in Server::${cedarText(name)}`,
  portal: (name) => `resource)\nwhen { context.portal == ${cedarText(name)} `,
};

export interface Wanted {
  id: string;
  kind: RequestKind;
  name: string;
  requester_kind: string;
  requester: string;
}

/** A policy that permits what is asked for, to whom has asked. */
export function draft({ id, kind, name, requester_kind, requester }: Wanted): string {
  const principal = `${ENTITY[requester_kind as keyof typeof ENTITY] ?? 'User'}::${cedarText(requester)}`;
  const start = `@id(${cedarText(`request-${id}`)})\npermit (principal == ${principal}, action in Action::"use", `;
  return start + (kind === 'portal' ? `${RESOURCES.portal(name)}};\n` : `${RESOURCES[kind](name)});\n`);
}

/** A name for the file of a draft. */
export function fileName({ requester, name }: Pick<Wanted, 'requester' | 'name'>): string {
  const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 40) || 'x';
  return `${plain(requester)}-${plain(name)}.cedar`;
}
