// An approver on a phone: by the link that they were sent, on a page without scripts, and in the console.
import assert from 'node:assert/strict';
import { judged, WCAG } from '../axe.mjs';
import { admin, call, launch, Visitor, world } from '../browser.mjs';

const browser = await launch();
const phone = { width: 375, height: 740, touch: true };
const args = { amount: '31.50', customer: 'Ada', note: 'late' };
const held = await call('bob', 'payments__refund', args);
const link = new RegExp(`${world.clients}/approvals/[0-9a-f]+`).exec(JSON.stringify(held))?.[0];
assert.ok(link, JSON.stringify(held));

const lea = await Visitor.open(browser, { ...phone, face: 'portal' });
const { page } = lea;
const fits = async (name) => assert.deepEqual(await judged(page, { tags: WCAG }), [], name);
await page.goto(link);
await fits('signing in to approve');
await page.getByLabel('API key').fill(world.keys.lea);
await page.getByRole('button', { name: 'Sign in' }).tap();
await page.getByRole('heading', { name: 'Approve this call?' }).waitFor();
await fits('the page of a call');
const said = await page.locator('body').innerText();
for (const it of ['bob', 'payments', 'refund', 'Refunds need a lead', '31.50', 'Ada', 'late']) assert.ok(said.includes(it), `${it}: ${said}`);
assert.equal(await page.locator('script').count(), 0);
for (const it of await page.getByRole('button').all()) {
  const { width, height } = await it.boundingBox();
  assert.ok(height >= 24 && width >= 24, `a button of ${width} by ${height} px`);
}
await page.getByLabel('Reason (optional)').fill('as agreed');
await page.getByRole('button', { name: 'Approve', exact: true }).tap();
await lea.see('You have approved the call');
assert.ok(lea.presses <= 3, `${lea.presses} taps from the link to the decision`);
const byLink = lea.presses;
await fits('a call that is decided');
assert.equal((await call('bob', 'payments__refund', args)).result?.content?.[0]?.text, 'refund: done');
await lea.close();

// The console on the same phone: what waits is on the first screen.
await call('bob', 'payments__refund', { ...args, amount: '99.00' });
const other = await Visitor.open(browser, phone);
await other.signIn('lea');
const before = other.presses;
await other.page.getByRole('main').getByRole('link', { name: /calls? waits? for approval/ }).tap();
await other.page.getByRole('row').filter({ hasText: 'bob' }).getByRole('link', { name: 'payments/refund' }).first().tap();
const sheet = other.page.locator('dialog[open]');
await sheet.getByText('"99.00"').waitFor();
await sheet.getByRole('button', { name: 'Refuse' }).tap();
const question = other.page.locator('dialog[open]').last();
await question.getByLabel('Reason').fill('twice');
await question.getByRole('button', { name: 'Refuse', exact: true }).tap();
await other.toast('Refused');
assert.ok(other.presses - before <= 4, `${other.presses - before} taps from the overview to the decision`);
assert.equal(await other.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth), false, 'wider than the phone');
const decided = (await admin('root', 'GET', 'approvals?state=refused')).data.items;
assert.ok(decided.length > 0);
const inConsole = other.presses - before;
await other.close();
await browser.close();
console.log(`${byLink} taps by the link, ${inConsole} in the console`);
