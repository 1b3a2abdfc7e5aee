// What a role may not do is not shown, and is refused when asked for all the same.
import assert from 'node:assert/strict';
import { launch, Visitor } from '../browser.mjs';

const browser = await launch();
const menu = (visitor) => visitor.page.locator('nav[aria-label="Screens"] a').allInnerTexts().then((all) => all.map((it) => it.split('\n')[0].trim()));
/** A change or question that the page itself does not offer. */
const asks = (visitor, method, path, body) =>
  visitor.page.evaluate(
    async ([method, path, body]) => {
      const headers = { 'Content-Type': 'application/json', 'Doorward-Admin': '1' };
      const response = await fetch(`/admin/v1/${path}`, { method, headers, ...(body ? { body } : {}) });
      return response.status;
    },
    [method, path, body && JSON.stringify(body)],
  );

const root = await Visitor.open(browser);
await root.signIn('root');
const whole = await menu(root);
assert.ok(['Overview', 'Servers', 'Catalogue', 'Approvals', 'Policies', 'Live', 'Audit log'].every((it) => whole.includes(it)), whole.join());
assert.equal(await root.page.getByRole('link', { name: 'Propose a server' }).count(), 1);
await root.close();

// An operator: no audit log, no drafts of policies.
const ada = await Visitor.open(browser);
ada.expected.add(403);
await ada.signIn('ada');
assert.ok(!(await menu(ada)).includes('Audit log'));
await ada.go('audit');
await ada.see('You may not see this page');
await ada.see("It requires the action 'read_audit'");
assert.equal(await asks(ada, 'GET', 'audit'), 403);
await ada.go('policies/edit');
assert.equal(await ada.page.getByRole('button', { name: 'Apply…' }).count(), 0);
assert.equal(await asks(ada, 'PUT', 'policies', { files: { 'a.cedar': 'permit (principal, action, resource);' }, note: '' }), 403);
await ada.go('servers/payments');
assert.equal(await ada.page.getByRole('button', { name: 'Quarantine' }).count(), 1);
await ada.close();

// An auditor: sees, and changes nothing.
const vic = await Visitor.open(browser);
vic.expected.add(403);
await vic.signIn('vic');
assert.ok((await menu(vic)).includes('Audit log'));
assert.equal(await vic.page.getByRole('link', { name: 'Propose a server' }).count(), 0);
await vic.go('servers/payments');
assert.equal(await vic.page.locator('header.head button').count(), 0, 'an auditor is offered a step');
assert.equal(await vic.page.getByRole('link', { name: 'Review' }).count(), 0);
assert.equal(await asks(vic, 'POST', 'servers/payments/quarantine', { reason: 'x' }), 403);
assert.equal(await asks(vic, 'GET', 'usage?by=server'), 403);
await vic.go('servers/~propose');
await vic.page.getByLabel('Name', { exact: false }).first().fill('sneaky');
await vic.page.getByLabel('Address').first().fill('https://tools.example.com/mcp');
await vic.page.getByRole('button', { name: 'Propose', exact: true }).click();
await vic.page.getByRole('alert').getByText('Ask an owner of the gateway').waitFor();
await vic.close();

// Nobody who only calls gets in.
const bob = await Visitor.open(browser);
bob.expected.add(401).add(403);
await bob.signIn('bob');
assert.equal(await asks(bob, 'GET', 'servers'), 403);
await bob.close();
await browser.close();
console.log('an owner, an operator, an auditor, and somebody without a role');
