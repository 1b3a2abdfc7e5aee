/** The MCP endpoints of this gateway, with the session of this browser. */
import { Problem } from '../api/problem';
import { face } from '../lib/router.svelte';
import { session } from '../lib/session.svelte';
import { Mcp } from './client';
import { Tokens } from './token';
import type { Tool } from './types';

const tokens = new Tokens(async () => {
  try {
    return await session.token();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) session.lost();
    throw error;
  }
});

/** `''` is the whole gateway; otherwise a portal or a server. */
export const pathOf = (name: string): string => (name === '' ? '/mcp' : `/mcp/${encodeURIComponent(name)}`);

/** A client of an endpoint. The console reaches it through its own listener. */
export function mcp(name: string): Mcp {
  return new Mcp({
    endpoint: face === 'console' ? `/console/mcp${pathOf(name)}` : pathOf(name),
    version: session.current?.gateway.version ?? '',
    token: () => tokens.token(),
    refused: () => tokens.drop(),
  });
}

const FRESH = 30_000;
const held = new Map<string, { at: number; tools: Promise<Tool[]> }>();

/** The tools of an endpoint, read again after half a minute. */
export function toolsOf(name: string, again = false): Promise<Tool[]> {
  const known = held.get(name);
  if (known && !again && known.at > Date.now() - FRESH) return known.tools;
  if (held.size > 32) held.clear();
  const tools = mcp(name).tools();
  held.set(name, { at: Date.now(), tools });
  tools.catch(() => {
    if (held.get(name)?.tools === tools) held.delete(name);
  });
  return tools;
}
