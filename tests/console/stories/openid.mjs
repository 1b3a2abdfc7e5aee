// Signing in at a real OpenID provider, in both faces, and out again; a login that somebody else began is refused.
import assert from 'node:assert/strict';
import { admin, launch, Visitor, world } from '../browser.mjs';

const browser = await launch();
for (const face of ['console', 'portal']) {
  const alice = await Visitor.open(browser, { face });
  const { page } = alice;
  alice.origins.add(world.provider);
  alice.expected.add(401);
  await page.goto(`${alice.base}${face === 'console' ? 'live?q=search' : 'account?x=1'}`);
  await page.getByRole('heading', { name: 'Sign in to Doorward' }).waitFor();
  await page.getByRole('link', { name: 'Continue with corp' }).click();
  // Back to where one was.
  await page.locator('main h1').first().waitFor();
  assert.match(page.url(), face === 'console' ? /\/console\/live\?q=search$/ : /\/portal\/account\?x=1$/);
  const session = await page.evaluate(() => fetch(new URL('auth/session', document.baseURI)).then((it) => it.json()));
  assert.deepEqual([session.method, session.provider, session.principal.name], ['openid', 'corp', 'corp:alice']);
  const cookies = (await alice.context.cookies(alice.base)).filter((it) => it.name.startsWith('doorward'));
  assert.ok(cookies.length > 0 && cookies.every((it) => it.httpOnly), JSON.stringify(cookies));
  assert.equal(await page.evaluate(() => document.cookie), '');
  if (face === 'console') {
    // The role that the provider gives decides what is shown.
    const menu = await page.locator('nav[aria-label="Screens"] a').allInnerTexts();
    assert.ok(menu.some((it) => it.includes('Audit log')), menu.join());
    assert.ok(!menu.some((it) => it.includes('Add servers')), menu.join());
    assert.equal((await admin('root', 'GET', 'logins')).data.items.filter((it) => it.principal.includes('corp:alice')).length, 1);
  }
  // Another browser gets nothing for what the provider has answered this one, which alone can go on with it.
  let answered = `${alice.base}auth/openid/corp?return=${encodeURIComponent(new URL(alice.base).pathname)}`;
  while (!answered.includes('/auth/callback?')) {
    const step = await alice.context.request.get(answered, { maxRedirects: 0 });
    answered = new URL(step.headers().location, answered).href;
  }
  const thief = await Visitor.open(browser, { face });
  for (const status of [400, 401, 403]) thief.expected.add(status);
  await thief.page.goto(answered);
  await thief.see('was started in another browser');
  await thief.page.goto(thief.base);
  await thief.page.getByRole('heading', { name: 'Sign in to Doorward' }).waitFor();
  await page.goto(answered);
  await page.locator('main h1').first().waitFor();
  await thief.close();
  // Out, everywhere.
  await alice.go('');
  await page.locator('button.who').click();
  await page.getByRole('button', { name: 'Sign out everywhere' }).click();
  const sure = page.locator('dialog[open]').last().getByRole('button', { name: 'Sign out everywhere', exact: true });
  if (await sure.isVisible().catch(() => false)) await sure.click();
  // At the provider, too, which asks first, and sends them back.
  await page.waitForURL((url) => url.origin === world.provider);
  await page.getByRole('button', { name: /Yes/ }).click();
  await page.waitForURL((url) => url.href.startsWith(alice.base));
  await page.getByRole('heading', { name: 'Sign in to Doorward' }).waitFor();
  assert.deepEqual((await admin('root', 'GET', 'logins')).data.items.filter((it) => it.principal.includes('corp:alice')), []);
  await alice.close();
}
await browser.close();
console.log('the console and the portal, back to the same page; another browser gets nothing; out everywhere');
