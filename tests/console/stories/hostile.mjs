// Hostile texts of servers, clients and users, on every screen: they are shown as text, nothing runs, nothing is fetched.
import assert from 'node:assert/strict';
import { admin, call, launch, Visitor, world } from '../browser.mjs';
import { ADDRESSES, ALL, LETTERS, MARKUP, SIGN } from '../hostile.mjs';

const browser = await launch();
// Whatever somebody can say, they say it: callers in arguments and names, users in reasons, notes and proposals.
const client = { 'io.modelcontextprotocol/clientInfo': { name: MARKUP[1], title: MARKUP[2], version: MARKUP[0] } };
for (const at of ALL.keys()) await call('bob', `hostile__tool_${at}`, { [ALL[at].slice(0, 40)]: ALL[at] }, client);
for (const payload of MARKUP.slice(0, 4)) await call('bob', `payments__${payload}`, {}, client);
await call('bob', 'payments__refund', { amount: '5', customer: MARKUP[1], note: MARKUP.join(' ') }, client);
const proposed = await admin('root', 'POST', 'servers', {
  name: 'marked', settings: { url: 'https://tools.example.com/mcp', notes: ALL.slice(0, -1).join('\n'), owner: `team:x`, tags: [MARKUP[1]] }, reason: MARKUP[1],
});
assert.ok([201, 400, 422].includes(proposed.status), JSON.stringify(proposed));
const isProposed = proposed.status === 201;
const current = (await admin('root', 'GET', 'policies')).data.policies;
const files = {};
for (const it of current) files[it.file] = `${files[it.file] ?? ''}${it.text}\n`;
files['use.cedar'] += `@id("marked") @reason("${MARKUP[1].replaceAll('"', '\\"')}") forbid (principal, action == Action::"call", resource == Tool::"tickets/none");\n// ${MARKUP.join(' ')}\n`;
const applied = await admin('root', 'PUT', 'policies', { files, note: MARKUP[1] });
assert.equal(applied.status, 200, JSON.stringify(applied));
const held = await admin('root', 'POST', 'audit/holds', { principal: 'bob', reason: MARKUP[1] });
assert.ok(held.status < 300, JSON.stringify(held));
const approvals = (await admin('root', 'GET', 'approvals?state=waiting&limit=100')).data.items;
const records = (await admin('root', 'GET', `audit?from=${Date.now() - 3_600_000}&server=hostile&limit=100`)).data.items;
assert.ok(records.length >= ALL.length, `${records.length} calls were recorded`);

const root = await Visitor.open(browser);
root.expected.add(404);
await root.signIn('root', 'live');
await root.page.locator('.live').getByText('Live', { exact: true }).waitFor();
const { page } = root;
await call('bob', 'hostile__tool_3', { a: MARKUP[1] }, client);
await call('bob', `payments__${MARKUP[1]}`, {}, client);
await page.getByRole('row').filter({ hasText: 'hostile' }).first().waitFor();

/** What the page says, that of editors included. */
const text = () => page.evaluate(() => document.body.innerText + [...document.querySelectorAll('.editor')].map((it) => it.shadowRoot?.textContent ?? '').join('') + [...document.querySelectorAll('input, textarea')].map((it) => it.value).join(''));
async function innocent(name, visitor = root) {
  const made = await visitor.page.evaluate(() => {
    const own = ['/console/', '/portal/'];
    const inside = ['img', 'script', 'iframe', 'object', 'embed', 'form[action]', 'style', 'link', 'meta', 'base', 'video', 'audio'];
    const all = [...document.querySelectorAll(['main', 'dialog'].flatMap((part) => inside.map((it) => `${part} ${it}`)).join())];
    const found = all.filter((it) => !(it.tagName === 'IMG' && own.some((path) => it.getAttribute('src').startsWith(path)))).map((it) => it.outerHTML.slice(0, 200));
    const links = [...document.querySelectorAll('a[href]')].map((it) => new URL(it.href)).filter((it) => !(it.protocol === 'http:' && it.hostname === location.hostname && own.some((path) => it.pathname.startsWith(path)))).map(String);
    return { found, links, over: document.documentElement.scrollWidth - window.innerWidth };
  });
  assert.deepEqual(made, { found: [], links: [], over: Math.min(made.over, 0) }, name);
}

// Where one of the payloads must be readable as it was sent, and where it need not be.
const unique = (n) => `catalogue/hostile/tool_${n}`;
const SCREENS = [
  ['', false], ['servers', true], ['servers/wrecked', true], ['servers/hostile', false], ['servers/hostile/definitions', true], ['servers/hostile/review', false],
  ['servers/hostile/settings', false], ['catalogue?server=hostile', true], [unique(1), true], ['approvals?state=all', false],
  ...approvals.filter((it) => it.caller.includes('bob')).slice(0, 1).map((it) => [`approvals/${it.id}`, true]),
  [`audit/${records.find((it) => it.id && it.client !== undefined)?.id ?? records[0].id}`, false],
  ['audit?server=hostile', false], ['audit?server=payments', false], ['audit/holds', true], ['policies', true], ['policies/edit?file=use.cedar', true], ['policies/versions', true],
  ...(isProposed ? [['servers/marked', false], ['servers/marked/review', true], ['servers/marked/history', true]] : []),
];
assert.ok(SCREENS.some(([path]) => path.startsWith('approvals/')), JSON.stringify(approvals));
for (const [path, shown] of SCREENS) {
  await root.move(path);
  if (shown) await page.waitForFunction((sign) => (document.body.innerText + [...document.querySelectorAll('.editor')].map((it) => it.shadowRoot?.textContent ?? '').join('') + [...document.querySelectorAll('input, textarea')].map((it) => it.value).join('')).includes(sign), SIGN).catch(async () => assert.fail(`${path} does not show the payload: ${(await text()).slice(0, 1500)}`));
  await innocent(path);
}
// Every payload by itself, unfolded, in both widths.
for (const [at, payload] of ALL.entries()) {
  await page.setViewportSize(at % 2 ? { width: 375, height: 740 } : { width: 1440, height: 900 });
  await root.move(unique(at));
  await page.locator('dialog[open]').getByRole('heading', { name: `tool_${at}`, exact: true }).waitFor();
  // Spaces fold and letters that say nothing are not drawn: the words are there.
  const words = payload.replace(/\s+/g, ' ').trim().slice(0, 200);
  if (LETTERS.includes(payload)) await page.locator('dialog[open] .json').first().waitFor();
  else await page.waitForFunction((words) => document.body.innerText.replace(/\s+/g, ' ').includes(words), words).catch(async () => assert.fail(`${unique(at)} does not say ${payload}: ${(await text()).slice(0, 800)}`));
  for (let level = 0; level < 3; level += 1) {
    await page.evaluate(() => document.querySelectorAll('dialog[open] .json button[aria-expanded=false]').forEach((it) => it.click()));
  }
  await innocent(payload);
}
// In an address, too: what is searched for, and where one would be sent after signing in.
for (const payload of [...MARKUP.slice(0, 3), ...ADDRESSES]) {
  await root.move(`servers?q=${encodeURIComponent(payload)}`);
  await innocent(payload);
}
const stranger = await Visitor.open(browser);
stranger.expected.add(401);
for (const payload of ADDRESSES) {
  await stranger.page.goto(`${new URL(page.url()).origin}/console/sign-in?return=${encodeURIComponent(payload)}`);
  await stranger.page.getByLabel('API key').waitFor();
}
await stranger.page.getByLabel('API key').fill(world.keys.root);
await stranger.page.getByRole('button', { name: 'Sign in', exact: true }).click();
await stranger.page.getByRole('heading', { name: 'Overview' }).waitFor();
await stranger.close();
// The catalogue is the gateway's own; a gateway that was tampered with, and a client's file from elsewhere, may say anything.
const entry = (payload, at) => ({
  id: at === 0 ? payload : `entry-${at}`, title: payload, summary: payload, publisher: payload, homepage: ADDRESSES[at % ADDRESSES.length], license: payload,
  parameters: [
    { name: 'token', title: payload, help: payload, secret: true, required: true, variable: payload, url: ADDRESSES[at % ADDRESSES.length] },
    { name: 'folder', title: payload, help: payload, required: true, default: payload, pattern: '(', url: ADDRESSES[(at + 1) % ADDRESSES.length], example: payload },
  ],
  server: { package: { npm: payload, version: payload, digest: payload }, args: ['{{folder}}', payload], env: { [payload]: '{{token}}' }, confine: { write: ['{{folder}}', payload], network: true }, tags: [payload], risk: payload },
});
const foreign = ADDRESSES.slice(3).map((it) => new URL(it, 'https://evil.example').origin);
/** As `innocent`, but what a person presses may lead to the pages that the catalogue names. */
const innocentButLinks = (name) => innocent(name).catch((error) => {
  assert.deepEqual(error.actual.found, [], name);
  assert.ok(error.actual.over <= 0, `${name} is ${error.actual.over} px too wide`);
  for (const it of error.actual.links) assert.ok(/^https?:/.test(it) && foreign.includes(new URL(it).origin), `${name}: ${it}`);
});
await page.route('**/admin/v1/catalog?*', (route) => route.fulfill({ json: { items: ALL.map(entry) } }));
await page.setViewportSize({ width: 1440, height: 900 });
for (const path of ['add', `add/${encodeURIComponent(MARKUP[0])}`, ...[...ALL.keys()].slice(1).map((at) => `add/entry-${at}`)]) {
  await root.move(path);
  if (path !== 'add') await page.getByRole('region', { name: 'What it is allowed' }).waitFor();
  await innocentButLinks(path);
}
await root.move('add/entry-1');
await page.waitForFunction((sign) => document.body.innerText.includes(sign), SIGN);
for (const it of await page.locator('main a[target]').all()) assert.equal(await it.getAttribute('rel'), 'noopener noreferrer');
await root.move('add/~file');
const mcpServers = Object.fromEntries(ALL.map((payload) => [payload, { url: payload, command: payload, args: [payload, '--token', payload], cwd: payload, headers: { [payload]: payload }, env: { [payload]: payload }, [payload]: payload }]));
await page.getByLabel("Text of the client's file").fill(JSON.stringify({ mcpServers }));
await page.getByText(`${ALL.length} servers in this file`).waitFor();
await page.waitForFunction((sign) => document.querySelector('.found').innerText.includes(sign), SIGN);
for (const box of (await page.locator('.found').getByRole('checkbox').all()).slice(0, 60)) await box.setChecked(!(await box.isChecked()));
await innocentButLinks("a hostile client's file");
await root.close();

// What a user sees of the same in the portal, and what calls return: errors, SVG, HTML, links and widgets. All of it is text.
const bob = await Visitor.open(browser, { face: 'portal' });
// A server's errors reach the browser as such.
bob.expected.add(404);
await bob.signIn('bob');
await innocent('the portal', bob);
const portal = bob.page;
for (const at of [0, 1, 5, 8, 11, 13]) {
  await bob.move(`tools?tool=hostile__tool_${at}`);
  await portal.locator('dialog[open] .json').first().waitFor();
  await innocent(`the portal's tool ${at}`, bob);
}
await bob.move('connect?at=' + encodeURIComponent(MARKUP[1]));
const snippet = await portal.locator('main').innerText();
assert.ok(!snippet.includes(MARKUP[1]) || (await portal.locator('main img').count()) === 0);
for (const at of [0, 1, 2, 5, 8, 11, 14, 17, 20, 23]) {
  await bob.move(`playground/hostile__tool_${at}`);
  await portal.getByRole('heading', { name: `hostile__tool_${at}`, exact: true }).waitFor();
  await innocent(`the form of tool ${at}`, bob);
  await portal.getByRole('button', { name: 'Run', exact: true }).click();
  const anyway = portal.getByRole('button', { name: 'Run all the same' });
  const took = portal.getByText(/^Took /);
  await took.or(anyway).first().waitFor();
  if (await anyway.isVisible()) await anyway.click();
  await took.waitFor();
  const fold = portal.locator('main details summary');
  if (await fold.count()) await fold.first().click();
  if (at % 3 === 2) {
    await bob.see("An image of kind 'image/svg+xml' is not shown here.");
    await bob.see('ui://widget.html');
  } else await portal.locator('main .note.bad').first().waitFor();
  await innocent(`the result of tool ${at}`, bob);
}
await bob.close();

// The page for approvers, with arguments and a caller that say as much.
const lea = await Visitor.open(browser, { face: 'portal', width: 375, height: 740 });
await lea.page.goto(`${world.clients}/approvals/${approvals[0].id}`);
await lea.page.getByLabel('API key').fill(world.keys.lea);
await lea.page.getByRole('button', { name: 'Sign in' }).click();
await lea.page.getByRole('heading', { name: 'Approve this call?' }).waitFor();
assert.ok((await lea.page.locator('body').innerText()).includes(SIGN), 'the arguments are there as text');
await innocent('the page for approvers', lea).catch((error) => {
  // Its own form has an address, which is its own.
  assert.ok(error.actual.found.every((it) => it.includes(`action="/approvals/${approvals[0].id}"`)), error.message);
  assert.deepEqual(error.actual.links, []);
});
await lea.close();
await browser.close();
console.log(`${ALL.length} payloads on ${SCREENS.length + ALL.length} screens as text; nothing ran, nothing was fetched`);
