/** Which tools a portal contains, and what ticking one changes. */

export interface Choice {
  servers: string[];
  tools: string[];
  tags: string[];
  except: string[];
}
export interface Tool {
  server: string;
  name: string;
  tags: string[];
}

/** `*` stands for any characters. */
export function like(pattern: string, text: string): boolean {
  const parts = pattern.split('*');
  const first = parts[0] ?? '';
  if (parts.length === 1) return pattern === text;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  const last = parts[parts.length - 1] ?? '';
  return text.length - last.length >= at && text.endsWith(last);
}

const id = (tool: Tool): string => `${tool.server}/${tool.name}`;
const chosen = (choice: Choice, tool: Tool): boolean =>
  choice.servers.includes(tool.server) || choice.tools.some((it) => like(it, id(tool))) || choice.tags.some((it) => tool.tags.includes(it));

export const contains = (choice: Choice, tool: Tool): boolean => chosen(choice, tool) && !choice.except.some((it) => like(it, id(tool)));

/** The choice with a tool taken in or left out. Rules stay as they are; only entries of this one tool are added or removed. */
export function tick(choice: Choice, tool: Tool, wanted: boolean): Choice {
  const name = id(tool);
  const without = (list: string[]): string[] => list.filter((it) => it !== name);
  const next = wanted ? { ...choice, except: without(choice.except) } : { ...choice, tools: without(choice.tools) };
  if (contains(next, tool) === wanted) return next;
  return wanted ? { ...next, tools: [...next.tools, name] } : { ...next, except: [...next.except, name] };
}

export const lines = (text: string): string[] => [...new Set(text.split('\n').map((it) => it.trim()).filter(Boolean))];

/** The settings that the form has a field for. */
const FIELDS = ['description', 'instructions', 'servers', 'tools', 'prompts', 'resources', 'tags', 'except', 'rename', 'describe', 'scopes', 'discovery', 'favorites'];

/** What a portal's settings have beside these: whoever saves the form must not lose it. */
export const unknown = <T extends object>(settings: T): Partial<T> =>
  Object.fromEntries(Object.entries(settings).filter(([key]) => !FIELDS.includes(key))) as Partial<T>;
