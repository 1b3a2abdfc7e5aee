// Somebody leaves: one question, and everything of theirs has ended; pages that are open say so.
import assert from 'node:assert/strict';
import { admin, call, launch, said, until, Visitor, world } from '../browser.mjs';

const browser = await launch();
// max administers, has a second key for an agent, and two browsers open: the console and the portal.
const made = async (label, scopes) => (await admin('root', 'POST', 'keys', { owner: { kind: 'user', name: 'max' }, label, scopes })).data.secret;
const put = await admin('root', 'PUT', 'principals/user/max', { roles: ['operator'], teams: [], disabled: false });
assert.ok(put.status < 300, JSON.stringify(put));
world.keys.max = await made('console', { administer: true });
world.keys.agent = await made('agent', {});
assert.equal(await said('agent', 'tickets__search_ticket', { query: 'x' }), 'search_ticket: done');
const inConsole = await Visitor.open(browser);
const inPortal = await Visitor.open(browser, { face: 'portal' });
for (const it of [inConsole, inPortal]) it.expected.add(401).add(403);
await inConsole.signIn('max', 'live');
await inPortal.signIn('max', 'tools');
await inPortal.page.getByRole('row').filter({ hasText: 'tickets__search_ticket' }).first().waitFor();

// An administrator finds them, and ends everything.
const root = await Visitor.open(browser);
await root.signIn('root');
const before = root.presses;
const { page } = root;
await page.getByRole('link', { name: 'Identities' }).click();
await page.getByRole('grid').getByRole('row').filter({ hasText: 'max' }).getByRole('link').first().click();
await page.getByRole('heading', { name: 'max', level: 1 }).waitFor();
await page.getByRole('button', { name: /^End everything/ }).click();
const question = page.locator('dialog[open]').last();
await question.getByLabel('Type max to confirm').fill('max');
await question.getByRole('button', { name: /^End everything/ }).click();
await question.getByText('Everything of max has ended').waitFor();
assert.ok(root.presses - before <= 4, `${root.presses - before} clicks`);
const clicks = root.presses - before;

// Keys, agents, and both browsers.
await until('keys are refused', async () => !!(await call('agent', 'tickets__search_ticket', { query: 'x' }).catch(() => ({ error: 'refused' }))).error);
await inConsole.see('Sign in to Doorward');
await inConsole.see('Your session has ended');
await inPortal.page.getByRole('button', { name: 'Reload' }).click();
await inPortal.see('Sign in to Doorward');
for (const [visitor, key] of [[inConsole, 'max'], [inPortal, 'agent']]) {
  await visitor.page.getByLabel('API key').fill(world.keys[key]);
  await visitor.page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await visitor.see('This key is not valid');
}
const theirs = (await admin('root', 'GET', 'keys')).data.items.filter((it) => it.owner.name === 'max' && !it.revoked);
assert.deepEqual(theirs, []);
assert.equal((await admin('root', 'GET', 'principals/user/max')).data.disabled, true);
assert.deepEqual((await admin('root', 'GET', 'logins')).data.items.filter((it) => it.principal.includes('max')), []);
for (const it of [root, inConsole, inPortal]) await it.close();
await browser.close();
console.log(`${clicks} clicks end everything`);
