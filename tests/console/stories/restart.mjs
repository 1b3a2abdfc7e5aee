// The gateway is restarted under an open page: it says so, comes back by itself, and shows what happens then.
import { call, launch, suite, Visitor } from '../browser.mjs';

const browser = await launch();
const ada = await Visitor.open(browser);
const { page } = ada;
await ada.signIn('ada', 'live');
const state = page.locator('.live');
await state.getByText('Live', { exact: true }).waitFor();
ada.expected.add(502).add(503);
await suite('stop');
await state.getByText('Reconnecting…').waitFor();
// A change meanwhile says what is wrong, and what to do.
await page.getByRole('link', { name: 'Catalogue' }).click();
await ada.see('The gateway cannot be reached');
await suite('start');
await state.getByText('Live', { exact: true }).waitFor({ timeout: 40_000 });
// By hand, unless the screen has read again by itself since the events are back.
const again = page.getByRole('button', { name: 'Try again' }).first();
const row = page.getByRole('row').filter({ hasText: 'refund' }).first();
await again.or(row).first().waitFor();
if (!(await row.isVisible())) await again.click({ timeout: 5_000 }).catch(async (error) => { if (!(await row.isVisible())) throw error; });
await row.waitFor();
await page.getByRole('link', { name: 'Live', exact: true }).click();
await page.getByRole('heading', { name: 'Live' }).waitFor();
await call('bob', 'payments__list_invoices');
await page.getByRole('row').filter({ hasText: 'list_invoices' }).first().waitFor();
await ada.close();
await browser.close();
console.log('reconnecting, live again, the same session');
