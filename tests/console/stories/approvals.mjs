// Calls that wait: one is approved, one refused, by somebody else than the caller.
import assert from 'node:assert/strict';
import { call, CONSOLE, launch, said, Visitor } from '../browser.mjs';

const browser = await launch();
const lea = await Visitor.open(browser);
await lea.signIn('lea');
const refund = { amount: '250', customer: 'Ada <script>', note: 'late' };
const held = await call('bob', 'payments__refund', refund);
assert.ok(JSON.stringify(held).includes('pprov'), JSON.stringify(held));

// It appears by itself.
await lea.page.getByRole('main').getByRole('link', { name: '1 call waits for approval' }).click();
await lea.page.getByRole('link', { name: 'payments/refund' }).click();
const drawer = lea.page.locator('dialog[open]');
await drawer.getByText('Refunds need a lead').waitFor();
await drawer.getByText('"250"').waitFor();
await drawer.getByText('"Ada <script>"').waitFor();
await drawer.getByRole('button', { name: 'Approve' }).click();
await lea.confirm('Approve', 'as agreed');
await lea.toast('Approved');
await drawer.getByText('as agreed').waitFor();
assert.equal(await said('bob', 'payments__refund', refund), 'refund: done');

// The next is refused, on a phone, and the caller is told why.
await call('bob', 'payments__refund', { amount: '9000' });
const phone = await Visitor.open(browser, { width: 375, height: 740 });
await phone.signIn('lea', 'approvals');
await phone.page.getByRole('link', { name: 'payments/refund' }).click();
const sheet = phone.page.locator('dialog[open]');
await sheet.getByRole('button', { name: 'Refuse' }).click();
const question = phone.page.locator('dialog[open]').last();
assert.equal(await question.getByRole('button', { name: 'Refuse' }).isDisabled(), true, 'a refusal needs a reason');
await phone.confirm('Refuse', 'too much');
await phone.toast('Refused');
assert.match(JSON.stringify(await call('bob', 'payments__refund', { amount: '9000' })), /too much|refused/);

// Callers do not decide about their own calls, leads or not.
await call('lea', 'payments__refund', { amount: '1' });
await lea.go('approvals');
await lea.page.getByRole('link', { name: 'payments/refund' }).click();
await lea.see('Others decide about this call');
assert.equal(await lea.page.locator('dialog[open]').getByRole('button', { name: 'Approve' }).count(), 0);
await lea.page.keyboard.press('Escape');
// What was decided can be looked up.
await lea.page.getByLabel('State').selectOption('all');
await lea.page.getByRole('row').filter({ hasText: 'refused' }).first().waitFor();
assert.equal(lea.page.url(), `${CONSOLE}approvals?state=all`);
await lea.close();
await phone.close();
await browser.close();
console.log('one approved, one refused on a phone, none by the caller');
