var e=[`claude-code`,`claude-desktop`,`cursor`,`vscode`,`windsurf`,`codex`,`gemini-cli`,`zed`,`typescript`,`python`],t={"claude-code":`Claude Code`,"claude-desktop":`Claude Desktop`,cursor:`Cursor`,vscode:`VS Code`,windsurf:`Windsurf`,codex:`Codex`,"gemini-cli":`Gemini CLI`,zed:`Zed`,typescript:`TypeScript`,python:`Python`},n=`DOORWARD_KEY`,r=e=>JSON.stringify(e,null,2);function i(e){return e.replace(/[^A-Za-z0-9_-]+/g,`-`).replace(/^-+|-+$/g,``).slice(0,40)||`doorward`}var a=e=>/^[A-Za-z0-9_@%+=:,./-]+$/.test(e)?e:`'${e.replaceAll(`'`,`'\\''`)}'`,o=e=>btoa(String.fromCharCode(...new TextEncoder().encode(e)));function s(e,s,u,d){let f=i(u),p=d===`key`,m=(n,r,i=null,a=null)=>({name:t[e],file:n,text:r,link:a,note:i}),h=e=>p?{headers:{Authorization:`Bearer ${e}`}}:{},g=p?`environment`:null;switch(e){case`claude-code`:{let e=p?` --header "Authorization: Bearer $${n}"`:``;return m(null,`claude mcp add --transport http ${f} ${a(s)}${e}`,p?`claude-code`:d===`oauth`?`claude-code-oauth`:null)}case`claude-desktop`:return m(`claude_desktop_config.json`,r({mcpServers:{[f]:{command:`doorward`,args:[`connect`,s]}}}),p?`claude-desktop-key`:d===`oauth`?`claude-desktop-oauth`:`claude-desktop`);case`cursor`:{let e={url:s,...h(`\${env:${n}}`)},t=`cursor://anysphere.cursor-deeplink/mcp/install?name=${encodeURIComponent(f)}&config=${encodeURIComponent(o(JSON.stringify(e)))}`;return m(`~/.cursor/mcp.json`,r({mcpServers:{[f]:e}}),g,t)}case`vscode`:{let e={type:`http`,url:s,...h("${input:doorward-key}")},t=p?[{type:`promptString`,id:`doorward-key`,description:`Doorward API key`,password:!0}]:[],n=p?{inputs:t,servers:{[f]:e}}:{servers:{[f]:e}},i={name:f,...e,...p?{inputs:t}:{}};return m(`.vscode/mcp.json`,r(n),p?`vscode-key`:null,`vscode:mcp/install?${encodeURIComponent(JSON.stringify(i))}`)}case`windsurf`:return m(`~/.codeium/windsurf/mcp_config.json`,r({mcpServers:{[f]:{serverUrl:s,...h(`\${env:${n}}`)}}}),g);case`codex`:{let e=p?`\nbearer_token_env_var = "${n}"`:``;return m(`~/.codex/config.toml`,`[mcp_servers.${f}]\nurl = ${JSON.stringify(s)}${e}`,p?`environment`:d===`oauth`?`codex-oauth`:null)}case`gemini-cli`:return m(`~/.gemini/settings.json`,r({mcpServers:{[f]:{httpUrl:s,...h(`$${n}`)}}}),g);case`zed`:return m(`~/.config/zed/settings.json`,r({context_servers:{[f]:p?{command:`doorward`,args:[`connect`,s]}:{url:s}}}),p?`zed-key`:null);case`typescript`:return m(null,c(s,d!==`none`),d===`oauth`?`sdk-oauth`:g);case`python`:return m(null,l(s,d!==`none`),d===`oauth`?`sdk-oauth`:g)}}function c(e,t){let r=t?`, {\n  requestInit: { headers: { Authorization: \`Bearer \${process.env.${n}}\` } },\n}`:``;return`// npm install @modelcontextprotocol/client
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const client = new Client({ name: "my-agent", version: "1.0.0" });
await client.connect(new StreamableHTTPClientTransport(new URL(${JSON.stringify(e)})${r}));
const { tools } = await client.listTools();
console.log(tools.map((tool) => tool.name));
await client.close();`}function l(e,t){let r=`${t?`import asyncio
import os

import httpx2`:`import asyncio
`}\nfrom mcp import Client${t?`
from mcp.client.streamable_http import streamable_http_client`:``}`,i=e=>`${e}found = await client.list_tools()\n${e}print([tool.name for tool in found.tools])`;return`# pip install "mcp>=2"
${r}


async def main():
${t?`    headers = {"Authorization": f"Bearer {os.environ['${n}']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(${JSON.stringify(e)}, http_client=http)) as client:
${i(`            `)}`:`    async with Client(${JSON.stringify(e)}) as client:
${i(`        `)}`}


asyncio.run(main())`}export{t as n,s as r,e as t};