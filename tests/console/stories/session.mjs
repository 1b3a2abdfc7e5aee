// Signing in and out, wrong keys, and a session that ends under an open page.
import assert from 'node:assert/strict';
import { admin, CONSOLE, launch, Visitor, world } from '../browser.mjs';

const browser = await launch();
const visitor = await Visitor.open(browser);
const { page } = visitor;
const signedOut = page.getByRole('heading', { name: 'Sign in to Doorward' });
// Asked before somebody has signed in, and after the session has ended.
visitor.expected.add(401);

await page.goto(`${CONSOLE}servers?state=up`);
await signedOut.waitFor();
assert.match(page.url(), /sign-in\?return=%2Fconsole%2Fservers%3Fstate%3Dup$/);
assert.equal(await page.locator('nav').count(), 0, 'nothing of the console is shown to who has not signed in');
const submit = page.getByRole('button', { name: 'Sign in', exact: true });
await page.getByLabel('API key').fill('dwk_wrong');
await submit.click();
await visitor.see('This key is not valid');
// A key for calls is no administrator's.
await page.getByLabel('API key').fill(world.keys.root);
await submit.click();
await page.getByRole('heading', { name: 'Servers', exact: true }).waitFor();
assert.equal(page.url(), `${CONSOLE}servers?state=up`);
const cookies = (await visitor.context.cookies()).filter((it) => it.name.includes('console'));
assert.deepEqual(cookies.map((it) => [it.httpOnly, it.sameSite]), [[true, 'Strict']]);
assert.equal(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })).then((it) => it.includes('dwk_')), false, 'the key stays in the browser');

// A page of ours says so in a header: a form cannot, and is refused.
visitor.expected.add(403);
const forged = await page.evaluate(async () => {
  const headers = { 'Content-Type': 'application/json' };
  return (await fetch('/admin/v1/policies/check', { method: 'POST', headers, body: '{"files":{}}' })).status;
});
assert.equal(forged, 403);

// Somebody else's key ends while its page is open: to sign in again, and back to where one was.
const made = await admin('root', 'POST', 'keys', { owner: { kind: 'user', name: 'vic' }, scopes: { administer: true }, label: 'short' });
world.keys.short = made.data.secret;
assert.ok(world.keys.short, JSON.stringify(made));
const other = await Visitor.open(browser);
other.expected.add(401);
await other.signIn('short', 'audit?outcome=denied&span=24h');
const revoked = await admin('root', 'DELETE', `keys/${made.data.key.id}`);
assert.ok(revoked.status < 300, JSON.stringify(revoked));
await other.page.getByRole('heading', { name: 'Sign in to Doorward' }).waitFor();
await other.see('Your session has ended');
await other.page.getByLabel('API key').fill(world.keys.vic);
await other.page.getByRole('button', { name: 'Sign in', exact: true }).click();
await other.page.getByRole('heading', { name: 'Audit log' }).waitFor();
const back = new URL(other.page.url()).searchParams;
assert.deepEqual([back.get('outcome'), back.get('span')], ['denied', '24h']);
// What happens is live again, too.
await other.page.locator('.live').getByText('Live', { exact: true }).waitFor();
await other.close();

// Out, and nothing of the session is left.
await page.locator('button.who').click();
await page.getByRole('button', { name: 'Sign out', exact: true }).click();
await signedOut.waitFor();
assert.equal((await visitor.context.cookies()).filter((it) => it.name.includes('console')).length, 0);
assert.equal(await page.evaluate(async () => (await fetch('/admin/v1/servers')).status), 401);
await page.goBack();
await signedOut.waitFor();
await visitor.close();
await browser.close();
console.log('signed in and out, a wrong key, a revoked key, back to the same page');
