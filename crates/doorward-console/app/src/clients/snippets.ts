/** How each client connects to an endpoint. A key is never part of it: it comes from the environment, or is asked for. */

export const CLIENTS = ['claude-code', 'claude-desktop', 'cursor', 'vscode', 'windsurf', 'codex', 'gemini-cli', 'zed', 'typescript', 'python'] as const;
export type Client = (typeof CLIENTS)[number];
export type Auth = 'oauth' | 'key' | 'none';

export interface Snippet {
  name: string;
  /** Where it belongs; `null` for a command. */
  file: string | null;
  text: string;
  /** Opens the client, which asks whether to add it. */
  link: string | null;
  /** What to know, as a member of `texts.connect.notes`. */
  note: 'claude-code' | 'claude-code-oauth' | 'claude-desktop' | 'claude-desktop-oauth' | 'claude-desktop-key' | 'vscode-key' | 'codex-oauth' | 'zed-key' | 'environment' | 'sdk-oauth' | null;
}

export const NAMES: Record<Client, string> = {
  'claude-code': 'Claude Code',
  'claude-desktop': 'Claude Desktop',
  cursor: 'Cursor',
  vscode: 'VS Code',
  windsurf: 'Windsurf',
  codex: 'Codex',
  'gemini-cli': 'Gemini CLI',
  zed: 'Zed',
  typescript: 'TypeScript',
  python: 'Python',
};
const VARIABLE = 'DOORWARD_KEY';

const json = (value: unknown): string => JSON.stringify(value, null, 2);

/** A name that every client takes: letters, digits, hyphens and underscores. */
export function entryName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 40);
  return plain || 'doorward';
}

/** A word of a command, for POSIX shells. */
const word = (text: string): string => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

const base64 = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** What to give to a client, so that it uses the endpoint `url` under `name`. */
export function snippet(client: Client, url: string, name: string, auth: Auth): Snippet {
  const entry = entryName(name);
  const key = auth === 'key';
  const made = (file: string | null, text: string, note: Snippet['note'] = null, link: string | null = null): Snippet => ({ name: NAMES[client], file, text, link, note });
  const header = (value: string): Record<string, unknown> => (key ? { headers: { Authorization: `Bearer ${value}` } } : {});
  const environment = key ? 'environment' : null;

  switch (client) {
    case 'claude-code': {
      const more = key ? ` --header "Authorization: Bearer $${VARIABLE}"` : '';
      return made(null, `claude mcp add --transport http ${entry} ${word(url)}${more}`, key ? 'claude-code' : auth === 'oauth' ? 'claude-code-oauth' : null);
    }
    case 'claude-desktop':
      return made('claude_desktop_config.json', json({ mcpServers: { [entry]: { command: 'doorward', args: ['connect', url] } } }), key ? 'claude-desktop-key' : auth === 'oauth' ? 'claude-desktop-oauth' : 'claude-desktop');
    case 'cursor': {
      const server = { url, ...header(`\${env:${VARIABLE}}`) };
      const link = `cursor://anysphere.cursor-deeplink/mcp/install?name=${encodeURIComponent(entry)}&config=${encodeURIComponent(base64(JSON.stringify(server)))}`;
      return made('~/.cursor/mcp.json', json({ mcpServers: { [entry]: server } }), environment, link);
    }
    case 'vscode': {
      const server = { type: 'http', url, ...header('${input:doorward-key}') };
      const inputs = key ? [{ type: 'promptString', id: 'doorward-key', description: 'Doorward API key', password: true }] : [];
      const file = key ? { inputs, servers: { [entry]: server } } : { servers: { [entry]: server } };
      const asked = { name: entry, ...server, ...(key ? { inputs } : {}) };
      return made('.vscode/mcp.json', json(file), key ? 'vscode-key' : null, `vscode:mcp/install?${encodeURIComponent(JSON.stringify(asked))}`);
    }
    case 'windsurf':
      return made('~/.codeium/windsurf/mcp_config.json', json({ mcpServers: { [entry]: { serverUrl: url, ...header(`\${env:${VARIABLE}}`) } } }), environment);
    case 'codex': {
      const bearer = key ? `\nbearer_token_env_var = "${VARIABLE}"` : '';
      return made('~/.codex/config.toml', `[mcp_servers.${entry}]\nurl = ${JSON.stringify(url)}${bearer}`, key ? 'environment' : auth === 'oauth' ? 'codex-oauth' : null);
    }
    case 'gemini-cli':
      return made('~/.gemini/settings.json', json({ mcpServers: { [entry]: { httpUrl: url, ...header(`$${VARIABLE}`) } } }), environment);
    case 'zed':
      // Zed does not read headers from the environment: the key goes through the command.
      return made('~/.config/zed/settings.json', json({ context_servers: { [entry]: key ? { command: 'doorward', args: ['connect', url] } : { url } } }), key ? 'zed-key' : null);
    case 'typescript':
      return made(null, typescript(url, auth !== 'none'), auth === 'oauth' ? 'sdk-oauth' : environment);
    case 'python':
      return made(null, python(url, auth !== 'none'), auth === 'oauth' ? 'sdk-oauth' : environment);
  }
}

function typescript(url: string, key: boolean): string {
  const options = key ? `, {\n  requestInit: { headers: { Authorization: \`Bearer \${process.env.${VARIABLE}}\` } },\n}` : '';
  return `// npm install @modelcontextprotocol/client
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const client = new Client({ name: "my-agent", version: "1.0.0" });
await client.connect(new StreamableHTTPClientTransport(new URL(${JSON.stringify(url)})${options}));
const { tools } = await client.listTools();
console.log(tools.map((tool) => tool.name));
await client.close();`;
}

function python(url: string, key: boolean): string {
  const first = key ? 'import asyncio\nimport os\n\nimport httpx2' : 'import asyncio\n';
  const imports = `${first}\nfrom mcp import Client${key ? '\nfrom mcp.client.streamable_http import streamable_http_client' : ''}`;
  const list = (indent: string): string => `${indent}found = await client.list_tools()\n${indent}print([tool.name for tool in found.tools])`;
  const body = key
    ? `    headers = {"Authorization": f"Bearer {os.environ['${VARIABLE}']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(${JSON.stringify(url)}, http_client=http)) as client:
${list('            ')}`
    : `    async with Client(${JSON.stringify(url)}) as client:
${list('        ')}`;
  return `# pip install "mcp>=2"
${imports}


async def main():
${body}


asyncio.run(main())`;
}
