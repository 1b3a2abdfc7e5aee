// The servers of a client's file: read in the browser, shown with what of them is a secret, proposed, or written for the
// configuration file as 'doorward import' would. Nothing of the file leaves the browser before.
import assert from 'node:assert/strict';
import { admin, launch, readAlike, Visitor } from '../browser.mjs';

const browser = await launch();
const ada = await Visitor.open(browser);
const { page } = ada;
ada.expected.add(404);
const sent = [];
page.on('request', (request) => sent.push(`${request.method()} ${request.url()} ${request.postData() ?? ''}`));
await ada.signIn('ada', 'add');
await page.getByRole('link', { name: "From a client's file" }).click();
const text = page.getByLabel("Text of the client's file");
await text.waitFor();
await page.getByRole('cell', { name: '~/.cursor/mcp.json' }).waitFor();

const SECRETS = ['ghp_abcdefghijklmnop1234567890', 'hunter2', 'tvly-abc', 'pw-of-the-database'];
const file = `// my servers
{
  "mcpServers": {
    "team wiki": { "type": "http", "url": "https://wiki.example.com/mcp", "headers": { "X-Team": "support" } },
    "code": { "type": "http", "url": "https://api.githubcopilot.com/mcp/", "headers": { "Authorization": "Bearer ${SECRETS[0]}" } },
    "search": { "url": "https://mcp.example.com/mcp?apiKey=${SECRETS[2]}" },
    "db": { "command": "serve-db", "args": ["--dsn", "postgres://me:${SECRETS[3]}@db.example/x"], "env": { "API_TOKEN": "${SECRETS[1]}", "MODE": "fast" }, "timeout": 5 },
    "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem@latest", "/srv"], },
    "here": { "command": "node", "args": ["\${workspaceFolder}/server.js"] },
    "gateway": { "command": "/usr/local/bin/doorward", "args": ["connect"] },
    "old": { "command": "old-server", "disabled": true },
  },
}
`;
// What is wrong is said with its line, and is gone once it is mended.
await text.fill(file.replace('"db": {', '"db" {'));
await ada.see('Line 7: a colon is expected behind the name.');
await text.fill('[mcp_servers.x]\nurl = "https://a.example"');
await ada.see('doorward clients setup codex --move');
await text.fill('{"listen": "127.0.0.1:1"}');
await ada.see('No servers are in this file');
await page.getByLabel('Choose a file', { exact: true }).last().setInputFiles({ name: 'mcp.json', mimeType: 'application/json', buffer: Buffer.from(file) });
await ada.see('8 servers in this file');
const card = (name) => page.getByRole('region', { name, exact: true });
const definition = (name) => card(name).getByRole('region', { name: 'Definition' }).innerText();
await card('here').getByText('Only an editor can fill in ${workspaceFolder}').waitFor();
await card('gateway').getByText('It goes through Doorward already.').waitFor();
await card('old').getByText('The client has it turned off.').waitFor();
await card('db').getByText('left out: timeout.').waitFor();
await card('files').getByText('The catalogue has an entry for Filesystem').waitFor();
assert.match(await card('files').getByRole('link', { name: 'Use the entry instead' }).getAttribute('href'), /\/console\/add\/filesystem$/);
await card('files').getByText("Without 'confine' the program has all rights of the gateway").waitFor();

// Secrets are references; what is none, or what somebody says is none, stays.
const cards = await page.locator('.found').innerText();
for (const secret of SECRETS) assert.ok(!cards.includes(secret), secret);
for (const it of ['--dsn', '${env:DB_DSN}', 'API_TOKEN: "${env:API_TOKEN}"', 'MODE: fast']) assert.ok((await definition('db')).includes(it), `${it}: ${await definition('db')}`);
await card('db').getByText('Set DB_DSN in the environment of the gateway').waitFor();
await card('search').getByText('It refers to a secret').waitFor();
assert.match(await definition('search'), /apiKey=\$\{env:SEARCH_APIKEY\}"/);
const all = ['team wiki', 'code', 'search', 'db', 'files', 'old'];
for (const name of all) {
  for (const box of await card(name).getByRole('checkbox').all()) await box.uncheck();
  const asFile = card(name).getByRole('button', { name: 'Configuration file' });
  if (await asFile.count()) await asFile.click();
}
const whole = JSON.parse(file.replace(/^\/\/.*\n/, '').replace(/,(\s*})/g, '$1'));
const kept = Object.fromEntries(all.map((name) => [name, whole.mcpServers[name]]));
const shown = [];
for (const name of all) shown.push(await definition(name));
await readAlike({ shown, written: [JSON.stringify({ mcpServers: kept })] });

// Nothing has left the browser so far but questions. A proposal has what it shows, and no secret.
assert.deepEqual(sent.filter((it) => SECRETS.some((secret) => it.includes(secret)) || it.includes('wiki.example.com')), []);
for (const name of ['code', 'db']) for (const box of await card(name).getByRole('checkbox').all()) await box.check();
for (const [name, server] of [['team wiki', 'team-wiki'], ['code', 'code']]) {
  await card(name).getByRole('button', { name: 'Proposal' }).click();
  await card(name).getByLabel('Reason').fill('from my editor');
  await card(name).getByRole('button', { name: 'Propose', exact: true }).click();
  await ada.toast(`${server} is proposed`);
  await card(name).getByRole('link', { name: server, exact: true }).waitFor();
}
const settings = async (name) => (await admin('root', 'GET', `servers/${name}`)).data.settings;
const { owner, ...wiki } = await settings('team-wiki');
assert.deepEqual([owner, wiki.url, wiki.headers], ['ada', 'https://wiki.example.com/mcp', { 'X-Team': 'support' }]);
const { personal } = await settings('code');
assert.deepEqual([personal.header.toLowerCase(), personal.scheme, personal.required], ['authorization', 'Bearer', true]);
assert.deepEqual(sent.filter((it) => SECRETS.some((secret) => it.includes(secret))), [], 'a secret was sent');
// It is gone when it is cleared, and was never in the address or in the browser's storage.
assert.ok(!page.url().includes('wiki'));
assert.equal(await page.evaluate((secrets) => secrets.some((it) => JSON.stringify({ ...localStorage, ...sessionStorage }).includes(it)), SECRETS), false);
await page.getByRole('button', { name: 'Clear', exact: true }).click();
await page.locator('.found').waitFor({ state: 'detached' });
assert.equal(await text.inputValue(), '');

await ada.close();
await browser.close();
console.log(`${all.length} servers as 'doorward import' reads them; two proposed; ${SECRETS.length} secrets that were never sent`);
