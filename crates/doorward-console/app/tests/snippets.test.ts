import { describe, expect, it } from 'vitest';
import { CLIENTS, entryName, snippet, type Auth } from '../src/clients/snippets';

const URL_ = 'https://tools.example.com/mcp/support';

describe('snippets', () => {
  it('name the endpoint, and never hold a key', () => {
    for (const client of CLIENTS) {
      for (const auth of ['oauth', 'key', 'none'] as Auth[]) {
        const { text, link } = snippet(client, URL_, 'support', auth);
        expect(text).toContain(URL_);
        expect(text + decodeURIComponent(link ?? '')).not.toMatch(/dwk_/);
        if (auth === 'none') expect(text).not.toMatch(/Authorization|bearer|DOORWARD_KEY/i);
      }
    }
  });
  it('are the files that clients read', () => {
    const file = (client: (typeof CLIENTS)[number], auth: Auth): unknown => JSON.parse(snippet(client, URL_, 'support', auth).text);
    expect(file('cursor', 'oauth')).toEqual({ mcpServers: { support: { url: URL_ } } });
    expect(file('cursor', 'key')).toEqual({ mcpServers: { support: { url: URL_, headers: { Authorization: 'Bearer ${env:DOORWARD_KEY}' } } } });
    expect(file('windsurf', 'key')).toEqual({ mcpServers: { support: { serverUrl: URL_, headers: { Authorization: 'Bearer ${env:DOORWARD_KEY}' } } } });
    expect(file('gemini-cli', 'key')).toEqual({ mcpServers: { support: { httpUrl: URL_, headers: { Authorization: 'Bearer $DOORWARD_KEY' } } } });
    expect(file('claude-desktop', 'key')).toEqual({ mcpServers: { support: { command: 'doorward', args: ['connect', URL_] } } });
    expect(file('zed', 'oauth')).toEqual({ context_servers: { support: { url: URL_ } } });
    expect(file('zed', 'key')).toEqual({ context_servers: { support: { command: 'doorward', args: ['connect', URL_] } } });
    expect(file('vscode', 'oauth')).toEqual({ servers: { support: { type: 'http', url: URL_ } } });
    expect(file('vscode', 'key')).toEqual({
      inputs: [{ type: 'promptString', id: 'doorward-key', description: 'Doorward API key', password: true }],
      servers: { support: { type: 'http', url: URL_, headers: { Authorization: 'Bearer ${input:doorward-key}' } } },
    });
  });
  it('are the commands that clients have', () => {
    expect(snippet('claude-code', URL_, 'support', 'oauth').text).toBe(`claude mcp add --transport http support ${URL_}`);
    expect(snippet('claude-code', URL_, 'support', 'key').text).toBe(`claude mcp add --transport http support ${URL_} --header "Authorization: Bearer $DOORWARD_KEY"`);
    expect(snippet('codex', URL_, 'support', 'key').text).toBe(`[mcp_servers.support]\nurl = "${URL_}"\nbearer_token_env_var = "DOORWARD_KEY"`);
  });
  it('take no name or address for code', () => {
    const evil = `x"; rm -rf ~; '$(id)' \`id\` ]\n[a`;
    expect(entryName(evil)).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(entryName('…')).toBe('doorward');
    const hostile = `https://e.example/mcp/$(id)'"`;
    expect(snippet('claude-code', hostile, evil, 'none').text).toContain(`'https://e.example/mcp/$(id)'\\''"'`);
    for (const client of ['cursor', 'vscode', 'zed', 'gemini-cli', 'windsurf', 'claude-desktop'] as const) JSON.parse(snippet(client, hostile, evil, 'key').text);
    expect(snippet('python', hostile, evil, 'none').text).toContain(JSON.stringify(hostile));
  });
});

describe('one-click links', () => {
  it('hold what the file holds', () => {
    const cursor = new URL(snippet('cursor', URL_, 'support', 'key').link ?? '');
    expect(cursor.href.startsWith('cursor://anysphere.cursor-deeplink/mcp/install?')).toBe(true);
    expect(cursor.searchParams.get('name')).toBe('support');
    expect(JSON.parse(atob(cursor.searchParams.get('config') ?? ''))).toEqual({ url: URL_, headers: { Authorization: 'Bearer ${env:DOORWARD_KEY}' } });
    const [scheme, asked] = (snippet('vscode', URL_, 'support', 'oauth').link ?? '').split('?');
    expect(scheme).toBe('vscode:mcp/install');
    expect(JSON.parse(decodeURIComponent(asked ?? ''))).toEqual({ name: 'support', type: 'http', url: URL_ });
  });
  it('exist for no others', () => {
    expect(CLIENTS.filter((client) => snippet(client, URL_, 'x', 'none').link !== null)).toEqual(['cursor', 'vscode']);
  });
});
