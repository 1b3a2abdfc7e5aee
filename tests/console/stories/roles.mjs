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
assert.ok(['Overview', 'Servers', 'Add servers', 'Catalogue', 'Approvals', 'Policies', 'Live', 'Audit log'].every((it) => whole.includes(it)), whole.join());
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

// An auditor: sees, and changes nothing but servers of their own, which everybody may propose.
const vic = await Visitor.open(browser);
vic.expected.add(403);
await vic.signIn('vic');
assert.ok((await menu(vic)).includes('Audit log'));
await vic.go('servers/payments');
const steps = vic.page.locator('header.head button');
const knows = await vic.page.evaluate(async () => {
  const [session, server] = await Promise.all(['auth/session', '../admin/v1/servers/payments'].map((it) => fetch(new URL(it, document.baseURI)).then((found) => found.json())));
  return { kinds: session.may_on !== undefined, server: server.may };
});
if (knows.server) {
  assert.equal(await steps.count(), 0, 'an auditor is offered a step');
} else {
  // A gateway that says of no server what may be done to it: a step is offered, and refused with what it takes.
  await steps.filter({ hasText: 'Quarantine' }).click();
  await vic.confirm('Quarantine', 'to see');
  await vic.toast("requires the action 'operate'");
}
assert.equal(await vic.page.getByRole('link', { name: 'Review', exact: true }).count(), 0);
assert.equal(await asks(vic, 'POST', 'servers/payments/quarantine', { reason: 'x' }), 403);
assert.equal(await asks(vic, 'GET', 'usage?by=server'), 403);
assert.equal(await asks(vic, 'POST', 'keys', { owner: { kind: 'user', name: 'vic' }, scopes: { admin: true } }), 403);
for (const [screen, offer] of [['identities/keys', 'Create a key'], ['identities/principals', 'Add a principal'], ['policies/edit', 'Apply…']]) {
  await vic.go(screen);
  assert.equal(await vic.page.getByText(offer, { exact: true }).count(), 0, `${screen} offers ${offer}`);
}
if (knows.kinds) {
  await vic.go('settings');
  assert.equal(await vic.page.getByRole('button', { name: 'Reload…' }).count(), 0);
}
// They are the owner until they name another; a server of somebody else is refused with what to do.
await vic.go('servers');
await vic.page.getByRole('link', { name: 'Propose a server' }).click();
const form = vic.page.locator('form');
await form.getByLabel('Name').fill('sneaky');
await form.getByLabel('Address').fill('https://tools.example.com/mcp');
assert.equal(await form.getByLabel('Owner').inputValue(), 'vic');
await form.getByLabel('Owner').fill('finance');
await form.getByRole('button', { name: 'Propose', exact: true }).click();
await vic.page.getByRole('alert').getByText('Name yourself or your team as its owner').waitFor();
await vic.close();

// Nobody who only calls gets in.
const bob = await Visitor.open(browser);
bob.expected.add(401).add(403);
await bob.signIn('bob');
assert.equal(await asks(bob, 'GET', 'servers'), 403);
await bob.close();
await browser.close();
console.log('an owner, an operator, an auditor, and somebody without a role');
