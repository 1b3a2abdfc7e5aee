/** Cedar for the editor: its words, and what the gateway's schema offers after a dot, in a scope or in an annotation. */
export const KEYWORDS = ['permit', 'forbid', 'when', 'unless', 'if', 'then', 'else', 'has', 'like', 'in', 'is', 'true', 'false'];
export const VARIABLES = ['principal', 'action', 'resource', 'context'];
export const ACTIONS = [
  'use', 'list', 'call', 'get', 'read', 'subscribe', 'complete', 'administer', 'view', 'propose', 'review', 'approve', 'operate',
  'manage_identities', 'mint_keys', 'change_policy', 'read_audit', 'read_payloads', 'hold_audit', 'bill', 'stop',
];
export const ENTITIES = ['User', 'Agent', 'ServiceAccount', 'Team', 'Tenant', 'Role', 'Server', 'Portal', 'Tool', 'Prompt', 'Resource', 'Gateway', 'Action'];
export const ANNOTATIONS = ['id', 'reason', 'arguments', 'approval', 'approval_ttl', 'approval_by', 'approval_remember', 'approval_self', 'approval_edit'];
const RESOURCE = ['name', 'server', 'uri', 'write', 'environment', 'region', 'data_classes', 'owner', 'owner_user', 'owner_team', 'risk', 'tags', 'brings', 'sink', 'open_world'];
const METHODS = ['contains', 'containsAll', 'containsAny', 'isEmpty', 'greaterThan', 'greaterThanOrEqual', 'lessThan', 'lessThanOrEqual', 'isInRange', 'isLoopback', 'isIpv4', 'isIpv6'];
/** Attributes by the path before the dot. */
export const MEMBERS: Record<string, readonly string[]> = {
  context: ['arguments', 'time', 'agent', 'chain', 'address', 'client', 'revision', 'protocol', 'portal', 'authentication', 'credential', 'findings', 'data', 'flow', 'conversation'],
  'context.time': ['weekday', 'hour', 'minute', 'date', 'unix'],
  'context.client': ['name', 'version'],
  'context.conversation': ['calls', 'repeated', 'depth', 'cost'],
  resource: RESOURCE,
};

export interface Offer {
  from: number;
  options: { label: string; kind: 'keyword' | 'variable' | 'property' | 'type' | 'enum' | 'method' }[];
}

/** What could be written at the end of a text, and from where it would be replaced. */
export function offer(before: string, entityNames: Record<string, readonly string[]> = {}): Offer | null {
  const make = (word: string, labels: readonly string[], kind: Offer['options'][number]['kind']): Offer => ({ from: before.length - word.length, options: labels.map((label) => ({ label, kind })) });
  const line = before.slice(before.lastIndexOf('\n') + 1);
  if (/\/\//.test(line.replace(/"(?:[^"\\]|\\.)*"/g, ''))) return null;
  const annotation = /@(\w*)$/.exec(line);
  if (annotation) return make(annotation[1] ?? '', ANNOTATIONS, 'property');
  const id = /\b(\w+)::"([^"]*)$/.exec(line);
  if (id) return make(id[2] ?? '', id[1] === 'Action' ? ACTIONS : (entityNames[id[1] ?? ''] ?? []), 'enum');
  const member = /\b([a-z_]+(?:\.[a-z_]+)*)\.(\w*)$/i.exec(line);
  if (member) {
    const members = MEMBERS[member[1] ?? ''];
    return members ? make(member[2] ?? '', members, 'property') : make(member[2] ?? '', METHODS, 'method');
  }
  if (((line.match(/(?<!\\)"/g) ?? []).length & 1) === 1) return null;
  const word = /[A-Za-z_]+$/.exec(line)?.[0];
  if (!word) return null;
  return {
    from: before.length - word.length,
    options: [
      ...KEYWORDS.map((label) => ({ label, kind: 'keyword' as const })),
      ...VARIABLES.map((label) => ({ label, kind: 'variable' as const })),
      ...ENTITIES.map((label) => ({ label: `${label}::`, kind: 'type' as const })),
    ],
  };
}
