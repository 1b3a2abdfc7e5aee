// Calls as they happen, and as they were recorded.
import assert from 'node:assert/strict';
import { call, CONSOLE, launch, Visitor } from '../browser.mjs';

const browser = await launch();
const vic = await Visitor.open(browser);
const { page } = vic;
await vic.signIn('vic', 'live');
await page.locator('.live').getByText('Live', { exact: true }).waitFor();
for (let at = 0; at < 5; at += 1) await call('bob', 'tickets__search_ticket', { query: `q${at}` });
await call('bob', 'payments__list_invoices');
const rows = page.getByRole('table').getByRole('row');
await rows.filter({ hasText: 'payments / list_invoices' }).first().waitFor();
// Filters are in the address.
await page.locator('input[data-filter]').fill('list_inv');
await page.waitForURL(/q=list_inv/);
await call('bob', 'payments__list_invoices');
await call('bob', 'tickets__search_ticket', { query: 'unseen' });
await rows.filter({ hasText: 'list_invoices' }).first().waitFor();
// One is opened: with its records, and from there in the audit log.
await rows.getByRole('link', { name: 'payments / list_invoices' }).first().click();
const drawer = page.locator('dialog[open]');
await drawer.getByText('Time at the server').waitFor();
await drawer.getByText('bob').first().waitFor();
assert.match(page.url(), /live\/[^/?]+\?q=list_inv/);
await page.keyboard.press('Escape');
// Paused, nothing moves.
await page.getByRole('button', { name: 'Pause' }).click();
await page.locator('input[data-filter]').fill('');
const before = await rows.count();
await call('bob', 'tickets__get_ticket', { id: 'paused' });
await page.getByRole('button', { name: 'Resume' }).click();
await call('bob', 'payments__list_invoices');
await until_more(before);
assert.equal(await rows.filter({ hasText: 'get_ticket' }).count(), 0, 'a paused view has taken a call');

async function until_more(n) {
  await page.waitForFunction((n) => document.querySelectorAll('[role=table] [role=row]').length > n, n);
}

// The audit log: by server and tool, then one call.
await vic.go('audit');
await page.getByLabel('Server', { exact: true }).fill('payments');
await page.getByLabel('Server', { exact: true }).press('Enter');
await page.getByLabel('Tool').fill('list_invoices');
await page.getByLabel('Tool').press('Enter');
await page.waitForURL(/tool=list_invoices/);
await vic.settled();
const records = page.getByRole('grid').locator('.body [role=row]');
await records.first().waitFor();
const texts = await records.allInnerTexts();
assert.ok(texts.length >= 3 && texts.every((it) => it.includes('list_invoices')), texts.join('\n'));
await records.first().click();
await drawer.getByText('Deciding policies').waitFor();
await drawer.getByRole('link', { name: 'everybody' }).waitFor();
const one = page.url();
assert.match(one, /audit\/[^/?]+\?.*server=payments/);
await page.reload();
await drawer.getByText('Position in the log').first().waitFor();
await page.keyboard.press('Escape');
await page.waitForURL((url) => !url.pathname.startsWith('/console/audit/'));
// By words, at the server.
await page.goto(`${CONSOLE}audit?q=search_ticket`);
await records.first().waitFor();
const worded = await records.allInnerTexts();
assert.ok(worded.some((it) => it.includes('search_ticket')) && worded.every((it) => !it.includes('list_invoices')), worded.join('\n'));
// Verified in front of whoever looks.
await page.getByRole('link', { name: 'Verification' }).click();
await vic.see("requires the action 'read_payloads'");
await page.getByRole('button', { name: 'Let the gateway verify' }).click();
await vic.see('These records are intact');
const root = await Visitor.open(browser);
await root.signIn('root', 'audit/verify');
await root.page.getByRole('button', { name: 'Verify in this browser' }).click();
await root.see('These records are intact');
await root.see(/^Verified in .*, in this browser/);
await root.close();

// The keyboard leads everywhere: to screens, to servers and tools by name, through rows, and back.
await vic.go('');
await page.keyboard.press('g');
await page.keyboard.press('c');
await page.getByRole('heading', { name: 'Catalogue' }).waitFor();
await page.keyboard.press('/');
await page.keyboard.type('payments');
await drawer.getByRole('option', { name: /^payments/ }).first().waitFor();
await page.keyboard.press('Enter');
await page.getByRole('heading', { name: 'payments', level: 1 }).waitFor();
await page.keyboard.press('?');
await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
await page.keyboard.press('Escape');
await vic.close();
await browser.close();
console.log('seen live, filtered, paused, found in the audit log, verified; by keyboard');
