/** What a tool says of itself, in plain words. */
import { texts } from '../texts';
import type { Tone } from '../ui/tones';
import type { Tool } from './types';

export const titleOf = (tool: Tool): string => tool.title ?? tool.annotations?.title ?? tool.name;

/** Whether it may change something: hints are absent more often than not, and absence is no promise. */
export function effect(tool: Tool): { word: string; tone: Tone } {
  const hints = tool.annotations ?? {};
  if (hints.readOnlyHint === true) return { word: texts.tools.reads, tone: 'none' };
  if (hints.destructiveHint === true) return { word: texts.tools.destroys, tone: 'bad' };
  return { word: texts.tools.writes, tone: 'warn' };
}

export function sentences(tool: Tool): string[] {
  const hints = tool.annotations ?? {};
  const said = [];
  if (hints.readOnlyHint === true) said.push(texts.tools.saysReads);
  else {
    said.push(hints.readOnlyHint === false ? texts.tools.saysWrites : texts.tools.saysNothing);
    if (hints.destructiveHint === true) said.push(texts.tools.saysDestroys);
    if (hints.destructiveHint === false) said.push(texts.tools.saysAdds);
    if (hints.idempotentHint === true) said.push(texts.tools.saysAgain);
  }
  if (hints.openWorldHint === true) said.push(texts.tools.saysOpen);
  if (hints.openWorldHint === false) said.push(texts.tools.saysClosed);
  return said;
}

/** The servers that names at `/mcp` show: `tickets__search` is of `tickets`. */
export function serversIn(tools: readonly Tool[]): string[] {
  const found = new Set<string>();
  for (const { name } of tools) {
    const at = name.indexOf('__');
    if (at > 0) found.add(name.slice(0, at));
  }
  return [...found].sort();
}
