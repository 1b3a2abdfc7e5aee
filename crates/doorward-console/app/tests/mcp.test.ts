import { describe, expect, it } from 'vitest';
import { Problem } from '../src/api/problem';
import { Mcp, type Options } from '../src/mcp/client';
import { McpError } from '../src/mcp/error';
import { headerValue, paramHeaders } from '../src/mcp/headers';
import { EventParser } from '../src/mcp/stream';
import { Tokens } from '../src/mcp/token';
import { isObject, type Json, type Question } from '../src/mcp/types';
import { effect, sentences, serversIn } from '../src/mcp/words';

describe('events', () => {
  const text = ': hello\nevent: message\ndata: {"a":\ndata: 1}\n\ndata:two\r\n\r\nid: 7\rdata: three\r\rdata\n\nretry: 5\n\ndata: never ended';
  const expected = ['{"a":\n1}', 'two', 'three', ''];
  it('are the same however they are cut', () => {
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new EventParser();
      const found: string[] = [];
      for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
      expect(found, `in parts of ${size}`).toEqual(expected);
    }
  });
  it('may begin with a byte order mark', () => expect(new EventParser().push('\uFEFFdata: x\n\n')).toEqual(['x']));
});

describe('headers', () => {
  it('are plain where they can be, and encoded otherwise', () => {
    expect(headerValue('tickets__search')).toBe('tickets__search');
    expect(headerValue('two words')).toBe('two words');
    expect(headerValue('Grüße')).toBe('=?base64?R3LDvMOfZQ==?=');
    for (const text of [' a', 'a ', 'a\nb', '', '=?base64?eA==?=']) expect(headerValue(text)).toMatch(/^=\?base64\?.*\?=$/);
  });
  it('repeat the arguments that the schema names', () => {
    const schema = { properties: { zone: { type: 'string', 'x-mcp-header': 'Zone' }, bad: { 'x-mcp-header': 'a b' }, deep: { properties: { n: { type: 'integer', 'x-mcp-header': 'N' } } }, none: { 'x-mcp-header': 'None' } } };
    expect(paramHeaders(schema, { zone: 'é', bad: 'x', deep: { n: 3 }, none: null })).toEqual({ 'Mcp-Param-Zone': '=?base64?w6k=?=', 'Mcp-Param-N': '3' });
  });
});

interface Sent {
  headers: Headers;
  body: { id: number; method: string; params: Json & { _meta: Json } };
}
type Reply = Json | Response | ((sent: Sent) => Response);

function door(replies: Reply[], more: Partial<Options> = {}): { mcp: Mcp; sent: Sent[]; paused: number[] } {
  const [sent, paused]: [Sent[], number[]] = [[], []];
  const answer: typeof fetch = (_url, init) => {
    const body = JSON.parse(String(init?.body)) as Sent['body'];
    const one = { headers: new Headers(init?.headers), body };
    sent.push(one);
    const reply = replies.shift();
    if (reply === undefined) throw new Error('asked too often');
    if (typeof reply === 'function') return Promise.resolve(reply(one));
    return Promise.resolve(reply instanceof Response ? reply : Response.json({ jsonrpc: '2.0', id: body.id, ...(isObject(reply['error']) ? reply : { result: reply }) }));
  };
  const pause = (ms: number): Promise<void> => {
    paused.push(ms);
    return Promise.resolve();
  };
  return { mcp: new Mcp({ endpoint: '/mcp', version: '1', token: () => Promise.resolve(null), refused: () => {}, fetch: answer, pause, ...more }), sent, paused };
}
const events = (messages: unknown[]): Response => new Response(messages.map((it) => `data: ${JSON.stringify(it)}\n\n`).join(''), { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
const tool = { name: 'add' };
const never = (): Promise<never> => Promise.reject(new Error('nothing was to be asked'));

describe('a request', () => {
  it('says in headers what its body says', async () => {
    const { mcp, sent } = door([{ resultType: 'complete', content: [] }], { token: () => Promise.resolve('secret') });
    await mcp.call({ name: 'größe' }, { a: 1 }, { answer: never, log: () => {} });
    const { headers, body } = sent[0] as Sent;
    expect(Object.fromEntries(headers)).toMatchObject({
      'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': headerValue('größe'), authorization: 'Bearer secret',
      accept: 'application/json, text/event-stream', 'content-type': 'application/json',
    });
    expect(body.params).toMatchObject({ name: 'größe', arguments: { a: 1 } });
    expect(body.params._meta['io.modelcontextprotocol/protocolVersion']).toBe('2026-07-28');
    expect(body.params._meta['io.modelcontextprotocol/clientCapabilities']).toEqual({ elicitation: { form: {}, url: {} } });
    expect(body.params._meta['io.modelcontextprotocol/logLevel']).toBe('debug');
  });
  it('reads its own progress and messages from the stream, and its own answer', async () => {
    const { mcp } = door([
      (sent) => {
        const progress = (token: unknown, n: number): Json => ({ method: 'notifications/progress', params: { progressToken: token, progress: n, total: 2 } });
        const log = { method: 'notifications/message', params: { level: 'info', data: 'hello' } };
        const token = sent.body.params._meta['progressToken'];
        return events([progress('other', 1), progress(token, 2), log, { id: 99, result: {} }, { id: sent.body.id, result: { content: [{ type: 'text', text: 'ok' }] } }]);
      },
    ]);
    const seen: unknown[] = [];
    const result = await mcp.call(tool, {}, { answer: never, progress: (it) => seen.push(it), log: (it) => seen.push(it) });
    expect(result.content).toEqual([{ type: 'text', text: 'ok' }]);
    expect(seen).toEqual([{ progress: 2, total: 2 }, { level: 'info', data: 'hello' }]);
  });
  it('fails if the stream ends without an answer, or the answer is none', async () => {
    for (const reply of [events([]), new Response('<html>', { headers: { 'content-type': 'text/html' } }), Response.json({ id: 77, result: {} }), Response.json([])]) {
      await expect(door([reply]).mcp.request('tools/list', {})).rejects.toBeInstanceOf(McpError);
    }
  });
  it('says what an error means', async () => {
    const error = { code: -32602, message: 'there is no tool x' };
    for (const reply of [{ error }, Response.json({ id: 1, error }, { status: 400 }), events([{ id: 1, error }])]) {
      const failed = await door([reply]).mcp.request('tools/call', { name: 'x' }).catch((it: unknown) => it);
      expect(failed).toMatchObject({ rpc: -32602, title: 'The request was not accepted', detail: 'there is no tool x' });
      expect((failed as McpError).advice).toContain('Reload');
    }
    const problem = Response.json({ title: 'Forbidden', detail: 'no', code: 'forbidden' }, { status: 403 });
    await expect(door([problem]).mcp.request('tools/list', {})).rejects.toBeInstanceOf(Problem);
  });
  it('asks for another token once', async () => {
    let refused = 0;
    const no = (): Response => Response.json({ title: 'Unauthorized' }, { status: 401 });
    const options = { token: () => Promise.resolve('t'), refused: () => void (refused += 1) };
    await expect(door([no(), { tools: [] }], options).mcp.tools()).resolves.toEqual([]);
    expect(refused).toBe(1);
    await expect(door([no(), no()], options).mcp.tools()).rejects.toMatchObject({ status: 401 });
  });
  it('is cancelled by closing it', async () => {
    const abort = new AbortController();
    const hangs: typeof fetch = (_url, init) => new Promise((_, stop) => init?.signal?.addEventListener('abort', () => stop(new DOMException('', 'AbortError'))));
    const call = door([], { fetch: hangs }).mcp.call(tool, {}, { answer: never, signal: abort.signal });
    setTimeout(() => abort.abort());
    await expect(call).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('a list', () => {
  it('is read to its end', async () => {
    const { mcp, sent } = door([{ tools: [{ name: 'a' }, { no: 'name' }], nextCursor: '' }, { tools: [{ name: 'b' }], nextCursor: 'x' }, { tools: [] }]);
    expect((await mcp.tools()).map((it) => it.name)).toEqual(['a', 'b']);
    expect(sent.map((it) => it.body.params['cursor'])).toEqual([undefined, '', 'x']);
  });
  it('ends if a cursor comes again', async () => {
    const page = { tools: [{ name: 'a' }], nextCursor: 'same' };
    expect(await door([page, page]).mcp.tools()).toHaveLength(2);
  });
});

describe('a call that asks', () => {
  const form = { method: 'elicitation/create', params: { mode: 'form', message: 'Which?', requestedSchema: { type: 'object', properties: {} } } };
  const url = { method: 'elicitation/create', params: { mode: 'url', message: 'Sign in', url: 'https://login.example' } };
  it('is repeated with the answers and the very state, as a new request', async () => {
    const { mcp, sent } = door([
      { resultType: 'input_required', inputRequests: { one: form, two: url }, requestState: 'sealed==' },
      { resultType: 'input_required', inputRequests: { three: form } },
      { resultType: 'complete', content: [] },
    ]);
    const asked: Question[] = [];
    await mcp.call(tool, { a: 1 }, {
      answer: (question) => {
        asked.push(question);
        if (question.key === 'one') return Promise.resolve({ action: 'accept', content: { name: 'Ada' } });
        return Promise.resolve({ action: question.key === 'two' ? 'accept' : 'decline', content: { never: 'sent' } });
      },
    });
    expect(asked.map((it) => [it.key, it.mode, it.message])).toEqual([['one', 'form', 'Which?'], ['two', 'url', 'Sign in'], ['three', 'form', 'Which?']]);
    expect(sent.map((it) => it.body.id)).toEqual([1, 2, 3]);
    expect(sent[1]?.body.params).toMatchObject({ name: 'add', arguments: { a: 1 }, requestState: 'sealed==', inputResponses: { one: { action: 'accept', content: { name: 'Ada' } }, two: { action: 'accept' } } });
    expect(sent[1]?.body.params['inputResponses']).toHaveProperty('two', { action: 'accept' });
    // Answers and state are of one round.
    expect(sent[2]?.body.params).not.toHaveProperty('requestState');
    expect(sent[2]?.body.params['inputResponses']).toEqual({ three: { action: 'decline' } });
  });
  it('is waited for where nothing is asked, less and less often', async () => {
    const { mcp, paused } = door([{ resultType: 'input_required', requestState: 'a' }, { resultType: 'input_required', requestState: 'b' }, { content: [] }]);
    await mcp.call(tool, {}, { answer: never });
    expect(paused).toHaveLength(2);
    expect(paused[1]).toBeGreaterThan(paused[0] as number);
  });
  it('gets no model, no folders, and nothing that is not known', async () => {
    const asks = (method: string): Json => ({ resultType: 'input_required', inputRequests: { x: { method, params: {} } } });
    for (const method of ['sampling/createMessage', 'something/else']) {
      await expect(door([asks(method)]).mcp.call(tool, {}, { answer: never })).rejects.toBeInstanceOf(McpError);
    }
    const { mcp, sent } = door([asks('roots/list'), { content: [] }]);
    await mcp.call(tool, {}, { answer: never });
    expect(sent[1]?.body.params['inputResponses']).toEqual({ x: { roots: [] } });
  });
  it('does not ask for ever', async () => {
    const again = Array.from({ length: 100 }, () => ({ resultType: 'input_required', inputRequests: { x: form } }));
    let asked = 0;
    const answer = (): Promise<{ action: 'accept' }> => Promise.resolve({ action: 'accept' as const, n: (asked += 1) });
    await expect(door(again).mcp.call(tool, {}, { answer })).rejects.toBeInstanceOf(McpError);
    expect(asked).toBe(24);
    const waits = Array.from({ length: 2_000 }, () => ({ resultType: 'input_required', requestState: 's' }));
    await expect(door(waits).mcp.call(tool, {}, { answer: never })).rejects.toBeInstanceOf(McpError);
    await expect(door([{ resultType: 'input_required' }]).mcp.call(tool, {}, { answer: never })).rejects.toBeInstanceOf(McpError);
    await expect(door([{ resultType: 'task' }]).mcp.call(tool, {}, { answer: never })).rejects.toBeInstanceOf(McpError);
  });
});

describe('the token', () => {
  it('is fetched once, renewed before it ends, and after it was refused', async () => {
    let [now, fetched] = [0, 0];
    const tokens = new Tokens(() => Promise.resolve({ token: `t${(fetched += 1)}`, expires_in: 300 }), () => now);
    expect(await Promise.all([tokens.token(), tokens.token()])).toEqual(['t1', 't1']);
    now = 250_000;
    expect(await tokens.token()).toBe('t1');
    now = 260_000;
    expect(await tokens.token()).toBe('t2');
    tokens.drop();
    expect(await tokens.token()).toBe('t3');
  });
  it('is none where nobody authenticates, and a failure is not kept', async () => {
    let fails = true;
    const tokens = new Tokens(() => (fails ? Promise.reject(new Error('down')) : Promise.resolve({ token: null, expires_in: 300 })));
    await expect(tokens.token()).rejects.toThrow('down');
    fails = false;
    expect(await tokens.token()).toBeNull();
  });
});

describe('words about a tool', () => {
  it('promise nothing that the tool does not', () => {
    expect(effect({ name: 'x' }).word).toBe('may write');
    expect(effect({ name: 'x', annotations: { readOnlyHint: true, destructiveHint: true } }).word).toBe('reads');
    expect(effect({ name: 'x', annotations: { destructiveHint: true } }).word).toBe('may delete');
    expect(sentences({ name: 'x' })).toEqual(['It does not say whether it changes anything: expect that it may.']);
    expect(serversIn([{ name: 'mail__send' }, { name: '__x' }, { name: 'plain' }, { name: 'a__b__c' }])).toEqual(['a', 'mail']);
  });
});
