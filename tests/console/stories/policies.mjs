// A policy from a draft with an error to one in force, and back.
import assert from 'node:assert/strict';
import { admin, launch, said, until, Visitor } from '../browser.mjs';

const browser = await launch();
const root = await Visitor.open(browser);
const { page } = root;
assert.equal(await said('bob', 'tickets__archive_ticket', { id: '1' }), 'archive_ticket: done');

await root.signIn('root', 'policies?q=refunds');
await root.see('Refunds need a lead');
assert.equal(await page.getByRole('heading', { name: 'everybody' }).count(), 0, 'the filter filters');
await page.getByRole('link', { name: 'Edit', exact: true }).last().click();
const editor = page.getByRole('textbox', { name: 'use.cedar' });
await editor.waitFor();
await page.getByText('Valid', { exact: true }).waitFor();

// An error is said where it is, and nothing can be applied.
root.expected.add(400).add(422);
await editor.press('Control+End');
await page.keyboard.insertText('\n@id("archives") forbid (principal, action == Action::"cal", resource);');
await page.getByText('1 error', { exact: true }).waitFor();
const apply = page.getByRole('button', { name: 'Apply…' });
assert.equal(await apply.isDisabled(), true);
await page.keyboard.press('Shift+Home');
await page.keyboard.press('Delete');
await page.keyboard.insertText('@id("archives") @reason("Archives are closed") forbid (principal, action == Action::"call", resource == Tool::"tickets/archive_ticket");');
await page.getByText('Valid', { exact: true }).waitFor();

// What would turn: the call that was just made.
await page.getByRole('button', { name: 'Compare' }).click();
assert.match(await page.locator('.diff ins').first().innerText(), /Archives are closed/);
await page.getByRole('button', { name: 'Try', exact: true }).click();
const turned = page.locator('.note', { hasText: 'archive_ticket' });
await turned.getByText('Archives are closed').waitFor();
assert.ok((await turned.innerText()).includes('bob'), await turned.innerText());

await apply.click();
await root.confirm('Apply', 'Archives are closed for the year');
await root.toast(/Version \d+ is in force/);
await until('it is in force', async () => (await said('bob', 'tickets__archive_ticket', { id: '1' })) !== 'archive_ticket: done');

// From the refused call, which looks to its caller as if there were no such tool, to the policy, and from the policy to its calls.
await until('it is recorded', async () => (await admin('root', 'GET', `audit?from=${Date.now() - 3_600_000}&tool=archive_ticket&decision=deny`)).data.items.length > 0);
await root.go('audit?tool=archive_ticket&decision=deny');
await page.getByRole('row').filter({ hasText: 'archive_ticket' }).first().click();
await page.locator('dialog[open]').getByRole('link', { name: 'archives' }).click();
await page.getByRole('heading', { name: 'archives' }).waitFor();
await page.getByRole('link', { name: 'Calls that it decided' }).click();
await page.getByRole('row').filter({ hasText: 'archive_ticket' }).first().waitFor();

// Back to the version before, by its note.
await root.go('policies/versions');
await page.getByRole('row').filter({ hasText: 'Archives are closed for the year' }).getByText('In force').waitFor();
await page.getByRole('row').filter({ hasText: 'The first' }).click();
await page.getByRole('button', { name: 'Restore this version' }).click();
await root.confirm('Restore this version');
await root.toast(/Version \d+ is in force/);
await until('it is restored', async () => (await said('bob', 'tickets__archive_ticket', { id: '1' })) === 'archive_ticket: done');
await root.go('policies');
assert.equal(await page.getByRole('heading', { name: 'archives' }).count(), 0);
await root.close();
await browser.close();
console.log('drafted, corrected, tried on recorded calls, applied, traced, restored');
