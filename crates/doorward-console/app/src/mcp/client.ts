/**
 * MCP over HTTP, as any client speaks it: revision 2026-07-28, stateless. Every request is a POST of its own; its answer is
 * JSON or a stream of events; closing it cancels it.
 */
import { Problem } from '../api/problem';
import { texts } from '../texts';
import { McpError, errorOf } from './error';
import { headerValue, paramHeaders } from './headers';
import { EventParser } from './stream';
import { REVISION, isObject, textOf, type Answer, type CallResult, type Json, type Log, type Progress, type Question, type Tool } from './types';

export interface Options {
  /** Where requests go: a path of this origin. */
  endpoint: string;
  version: string;
  token: () => Promise<string | null>;
  /** The token was refused. */
  refused: () => void;
  fetch?: typeof fetch;
  /** Between rounds in which the server asks nothing. */
  pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}
export interface Watch {
  signal?: AbortSignal;
  progress?: (progress: Progress) => void;
  log?: (log: Log) => void;
}
export interface Caller extends Watch {
  /** Answers a question of the server. */
  answer: (question: Question, signal: AbortSignal) => Promise<Answer>;
  /** A round ended in questions, or in waiting. */
  round?: (asked: number) => void;
}

/** A call may ask so often. */
const ROUNDS = 24;
/** A call may let us wait so long without asking. */
const WAITS = 10 * 60_000;
const MOST_TOOLS = 20_000;
const ANSWER_BYTES = 64 * 1024 * 1024;
const META = 'io.modelcontextprotocol/';

export class Mcp {
  #options: Options;
  #id = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  get endpoint(): string {
    return this.#options.endpoint;
  }

  /** One request, and its result: complete, or asking for more. */
  async request(method: string, params: Json, watch: Watch = {}, headers: Record<string, string> = {}): Promise<Json> {
    const response = await this.#send(method, params, watch, headers);
    const result = await this.#answer(response.response, response.id, response.token, watch);
    const type = result['resultType'] ?? 'complete';
    if (type !== 'complete' && type !== 'input_required') throw new McpError(null, texts.mcp.failed, texts.mcp.unknownResult(String(type)));
    return result;
  }

  async #send(method: string, params: Json, watch: Watch, more: Record<string, string>, again = true): Promise<{ response: Response; id: number; token: string }> {
    this.#id += 1;
    const id = this.#id;
    const progressToken = `p${id}`;
    const meta: Json = {
      [`${META}protocolVersion`]: REVISION,
      [`${META}clientCapabilities`]: { elicitation: { form: {}, url: {} } },
      [`${META}clientInfo`]: { name: 'doorward-console', version: this.#options.version },
    };
    if (watch.progress) meta['progressToken'] = progressToken;
    if (watch.log) meta[`${META}logLevel`] = 'debug';
    const headers: Record<string, string> = {
      ...more,
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': REVISION,
      'Mcp-Method': method,
    };
    const name = params['name'] ?? params['uri'];
    if (typeof name === 'string') headers['Mcp-Name'] = headerValue(name);
    const bearer = await this.#options.token();
    if (bearer) headers['Authorization'] = `Bearer ${bearer}`;
    const body = JSON.stringify({ jsonrpc: '2.0', id, method, params: { ...params, _meta: meta } });
    const init: RequestInit = { method: 'POST', headers, body, credentials: 'omit', cache: 'no-store', redirect: 'error' };
    if (watch.signal) init.signal = watch.signal;
    const response = await (this.#options.fetch ?? fetch)(this.#options.endpoint, init);
    if (response.status === 401) {
      this.#options.refused();
      if (again && bearer) return await this.#send(method, params, watch, more, false);
    }
    return { response, id, token: progressToken };
  }

  async #answer(response: Response, id: number, token: string, watch: Watch): Promise<Json> {
    const type = (response.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase();
    if (!response.ok && type !== 'text/event-stream') throw await refusal(response);
    if (type !== 'text/event-stream') {
      const message = parsed(await whole(response));
      return resultOf(message, id) ?? missing();
    }
    if (!response.body) return missing();
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const events = new EventParser();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        const texts = events.push(done ? '\n\n' : decoder.decode(value, { stream: true }));
        for (const text of texts) {
          const message = parsed(text);
          const result = resultOf(message, id);
          if (result) return result;
          notice(message, token, watch);
        }
        if (done) return missing();
      }
    } finally {
      // The answer is complete, or nobody waits for it any more.
      void reader.cancel().catch(() => {});
    }
  }

  /** All tools that the caller may see. */
  async tools(signal?: AbortSignal): Promise<Tool[]> {
    const found: Tool[] = [];
    const seen = new Set<string>();
    let cursor: string | undefined;
    do {
      const result = await this.request('tools/list', cursor === undefined ? {} : { cursor }, signal ? { signal } : {});
      const tools = Array.isArray(result['tools']) ? result['tools'] : [];
      for (const tool of tools) if (isObject(tool) && typeof tool['name'] === 'string') found.push(tool as unknown as Tool);
      cursor = textOf(result['nextCursor']);
      if (cursor !== undefined && seen.has(cursor)) break;
      if (cursor !== undefined) seen.add(cursor);
    } while (cursor !== undefined && found.length < MOST_TOOLS);
    return found;
  }

  /** Calls a tool, and answers what its server asks meanwhile. */
  async call(tool: Tool, args: Json, caller: Caller): Promise<CallResult> {
    const headers = paramHeaders(tool.inputSchema, args);
    const signal = caller.signal ?? new AbortController().signal;
    let more: Json = {};
    let waited = 0;
    for (let round = 0; round < ROUNDS; ) {
      const result = await this.request('tools/call', { name: tool.name, arguments: args, ...more }, caller, headers);
      if (result['resultType'] !== 'input_required') return result as CallResult;
      const requests = isObject(result['inputRequests']) ? Object.entries(result['inputRequests']) : [];
      const state = result['requestState'];
      caller.round?.(requests.length);
      more = state === undefined ? {} : { requestState: state };
      if (requests.length > 0) {
        round += 1;
        waited = 0;
        more['inputResponses'] = await this.#answers(requests, caller, signal);
      } else {
        if (state === undefined) throw new McpError(null, texts.mcp.failed, texts.mcp.asksNothing);
        const pause = Math.min(3_000, 250 + waited / 4);
        waited += pause;
        if (waited > WAITS) throw new McpError(null, texts.mcp.failed, texts.mcp.waitedTooLong);
        await (this.#options.pause ?? sleep)(pause, signal);
      }
    }
    throw new McpError(null, texts.mcp.failed, texts.mcp.asksTooOften(ROUNDS));
  }

  async #answers(requests: [string, unknown][], caller: Caller, signal: AbortSignal): Promise<Json> {
    const answers: Json = {};
    // One at a time: a person reads them.
    for (const [key, request] of requests) {
      const method = isObject(request) ? request['method'] : undefined;
      const params = isObject(request) && isObject(request['params']) ? request['params'] : {};
      if (method === 'roots/list') {
        // There are no folders here, and none is made up.
        answers[key] = { roots: [] };
        caller.log?.({ level: 'notice', data: texts.mcp.noRoots });
        continue;
      }
      if (method !== 'elicitation/create') {
        throw new McpError(null, texts.mcp.notOffered, method === 'sampling/createMessage' ? texts.mcp.noModel : texts.mcp.unknownQuestion(String(method)));
      }
      const mode = params['mode'] === 'url' ? 'url' : 'form';
      const question: Question = { key, mode, message: textOf(params['message']) ?? '', schema: isObject(params['requestedSchema']) ? params['requestedSchema'] : {}, url: textOf(params['url']) ?? '' };
      const answer = await caller.answer(question, signal);
      signal.throwIfAborted();
      answers[key] = answer.action === 'accept' && mode === 'form' ? { action: 'accept', content: answer.content ?? {} } : { action: answer.action };
    }
    return answers;
  }
}

async function refusal(response: Response): Promise<Problem> {
  const body = await response.clone().text().catch(() => '');
  let message: unknown;
  try {
    message = JSON.parse(body);
  } catch {
    // Not JSON: a proxy, for example.
  }
  return isObject(message) && isObject(message['error']) ? errorOf(message['error']) : await Problem.from(response);
}

async function whole(response: Response): Promise<string> {
  const length = Number(response.headers.get('content-length'));
  if (length > ANSWER_BYTES) throw new McpError(null, texts.mcp.failed, texts.mcp.tooLong);
  return await response.text();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new McpError(null, texts.mcp.failed, texts.mcp.notJson);
  }
}

function missing(): never {
  throw new McpError(null, texts.mcp.failed, texts.mcp.noAnswer);
}

/** The result of the request with this id, or `null` if the message is another. */
function resultOf(message: unknown, id: number): Json | null {
  if (!isObject(message) || typeof message['method'] === 'string') return null;
  if (isObject(message['error']) && (message['id'] === id || message['id'] === undefined || message['id'] === null)) throw errorOf(message['error']);
  return message['id'] === id && isObject(message['result']) ? message['result'] : null;
}

function notice(message: unknown, token: string, watch: Watch): void {
  if (!isObject(message) || !isObject(message['params'])) return;
  const params = message['params'];
  if (message['method'] === 'notifications/progress' && params['progressToken'] === token && typeof params['progress'] === 'number') {
    const [total, text] = [params['total'], params['message']];
    watch.progress?.({ progress: params['progress'], ...(typeof total === 'number' ? { total } : {}), ...(typeof text === 'string' ? { message: text } : {}) });
  } else if (message['method'] === 'notifications/message') {
    const logger = textOf(params['logger']);
    watch.log?.({ level: textOf(params['level']) ?? 'info', data: params['data'], ...(logger ? { logger } : {}) });
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((done, stop) => {
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', ended);
      done();
    }, ms);
    const ended = (): void => {
      clearTimeout(timer);
      stop(signal.reason instanceof Error ? signal.reason : new DOMException('', 'AbortError'));
    };
    if (signal.aborted) ended();
    else signal.addEventListener('abort', ended, { once: true });
  });
}
