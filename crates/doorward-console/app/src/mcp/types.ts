/** What of MCP's revision 2026-07-28 the application uses. Objects are open: unknown members stay. */

export const REVISION = '2026-07-28';

export type Json = Record<string, unknown>;

export interface Annotations {
  title?: string;
  readOnlyHint?: boolean;
  destructiveHint?: boolean;
  idempotentHint?: boolean;
  openWorldHint?: boolean;
}
export interface Tool {
  name: string;
  title?: string;
  description?: string;
  inputSchema?: Json;
  outputSchema?: Json;
  annotations?: Annotations;
}
export interface Block extends Json {
  type: string;
}
export interface CallResult extends Json {
  content?: Block[];
  structuredContent?: unknown;
  isError?: boolean;
}
export interface Progress {
  progress: number;
  total?: number;
  message?: string;
}
export interface Log {
  level: string;
  logger?: string;
  data: unknown;
}
/** A question of the server in the middle of a call. */
export interface Question {
  key: string;
  mode: 'form' | 'url';
  message: string;
  /** Of mode `form`. */
  schema: Json;
  /** Of mode `url`: as the server sent it. */
  url: string;
}
export interface Answer {
  action: 'accept' | 'decline' | 'cancel';
  content?: Json;
}

export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
export const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
