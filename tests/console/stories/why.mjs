// "Why could the agent not send this mail?" From the overview to the policy that decided, and to all that it decided.
import assert from 'node:assert/strict';
import { call, launch, Visitor } from '../browser.mjs';

const browser = await launch();
const agent = { 'io.modelcontextprotocol/clientInfo': { name: 'help-desk-bot', version: '1.0.0' } };
const sent = await call('bob', 'mail__send_mail', { to: 'customer@shop.example', subject: 'Your refund' }, agent);
assert.match(JSON.stringify(sent), /Mail goes to addresses of the company only/, 'the agent is told why');
const allowed = await call('bob', 'mail__send_mail', { to: 'lea@example.com', subject: 'Your refund' }, agent);
assert.equal(allowed.result?.content?.[0]?.text, 'send_mail: done', JSON.stringify(allowed));

// Somebody asks about it later: nothing of it has happened in front of the person's eyes.
const vic = await Visitor.open(browser);
const { page } = vic;
await vic.signIn('vic');
const before = vic.presses;
await page.getByRole('main').getByRole('link', { name: 'mail / send_mail' }).first().click();
const drawer = page.locator('dialog[open]');
await drawer.getByText('denied', { exact: true }).first().waitFor();
await drawer.getByText('bob').first().waitFor();
await drawer.getByRole('link', { name: 'mail-inside' }).first().click();
await page.getByRole('heading', { name: 'mail-inside' }).waitFor();
await vic.see('Mail goes to addresses of the company only');
await vic.see('containsAll(context.arguments.to.domains)');
assert.ok(vic.presses - before <= 4, `${vic.presses - before} clicks`);
const clicks = vic.presses - before;
// What else it has decided, one click away; and back from any of these.
await page.getByRole('link', { name: 'Calls that it decided' }).click();
await page.getByRole('row').filter({ hasText: 'mail / send_mail' }).first().click();
await drawer.getByRole('link', { name: 'mail-inside' }).first().waitFor();
assert.ok(vic.presses - before <= clicks + 2, 'two clicks from a policy to a call that it decided');
await vic.close();
await browser.close();
console.log(`${clicks} clicks from the overview to the policy`);
