/** Why a request failed, in plain words. */
import { Problem } from '../api/problem';
import { texts } from '../texts';
import { isObject } from './types';

export class McpError extends Problem {
  constructor(
    readonly rpc: number | null,
    title: string,
    detail: string,
    readonly data: unknown = undefined,
    readonly said: string = '',
  ) {
    super(0, rpc === null ? 'mcp' : `mcp_${rpc}`, title, detail);
  }

  override get advice(): string {
    return this.said;
  }
}

/** The error object of an answer. */
export function errorOf(error: unknown): McpError {
  const { code, message, data } = isObject(error) ? error : { code: null, message: '', data: undefined };
  const number = typeof code === 'number' ? code : null;
  const text = typeof message === 'string' && message !== '' ? message : texts.mcp.noReason;
  const known = number === null ? undefined : texts.mcp.errors[String(number) as keyof typeof texts.mcp.errors];
  return new McpError(number, known?.title ?? texts.mcp.failed, text, data, known?.text ?? '');
}
