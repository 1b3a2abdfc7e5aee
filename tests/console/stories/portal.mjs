// The portal: what a user may use, how each client connects, a call with a form, who they are; and axe on each of its screens.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { judged, VIEWS } from '../axe.mjs';
import { launch, PORTAL, Visitor, world } from '../browser.mjs';
import { picture } from '../picture.mjs';

const browser = await launch();
const bob = await Visitor.open(browser, { face: 'portal' });
const { page } = bob;
bob.expected.add(401);
await page.goto(`${PORTAL}tools?q=mail`);
await page.getByLabel('API key').fill('dwk_wrong');
await page.getByRole('button', { name: 'Sign in', exact: true }).click();
await bob.see('This key is not valid');
await page.getByLabel('API key').fill(world.keys.bob);
await page.getByRole('button', { name: 'Sign in', exact: true }).click();
// Tools as clients list them, those that were searched for.
const rows = page.getByRole('grid').locator('.body [role=row]');
await rows.filter({ hasText: 'mail__send_mail' }).waitFor();
assert.ok((await rows.allInnerTexts()).every((it) => it.includes('mail')));
await rows.filter({ hasText: 'mail__send_mail' }).getByRole('link').first().click();
const drawer = page.locator('dialog[open]');
await drawer.getByText('Sends a mail in the name of the user.').first().waitFor();
await drawer.getByText('"subject"').first().waitFor();
await drawer.getByRole('link', { name: 'Try it' }).first().click();

// A call with a form: what is required is asked for, a policy says why not, and what it permits is done.
await page.getByRole('heading', { name: 'mail__send_mail' }).waitFor();
const run = page.getByRole('button', { name: 'Run', exact: true });
await run.click();
await bob.see(/arguments? (does|do) not fit the schema/);
const field = (name) => page.getByRole('group', { name: 'Form' }).getByLabel(name);
await field('to').fill('customer@shop.example');
await field('subject').fill('Your refund');
await run.click();
await bob.see('Mail goes to addresses of the company only');
await field('to').fill('lea@example.com');
await run.click();
await bob.see('send_mail: done');
// JSON and form are one: lists, choices, days.
await bob.go('playground/calendar__create_event');
await page.getByLabel('Arguments as JSON').fill('{"title": "Review", "day": "2026-12-01", "kind": "meeting", "people": ["ada", "bob"], "remind": true}');
await page.waitForFunction(() => [...document.querySelectorAll('form input')].some((it) => it.value === 'Review'));
assert.deepEqual(await page.locator('form fieldset').first().getByRole('textbox').evaluateAll((all) => all.map((it) => it.value).filter((it) => ['Review', 'ada', 'bob'].includes(it))), ['Review', 'ada', 'bob']);
await run.click();
await bob.see('create_event: done');

// Each client's snippet names the gateway, and never a key.
await bob.go('connect');
const clients = await page.getByRole('group', { name: 'Client', exact: true }).getByRole('button').allInnerTexts();
assert.ok(clients.length >= 8, clients.join());
for (const client of clients) {
  await page.getByRole('group', { name: 'Client', exact: true }).getByRole('button', { name: client, exact: true }).click();
  await page.getByRole('heading', { name: `Connect ${client}` }).waitFor();
  const text = await page.locator('main').innerText();
  assert.ok(text.includes(world.clients) && !text.includes(world.keys.bob), client);
  for (const link of await page.locator('main a[href]').evaluateAll((all) => all.map((it) => it.href))) assert.match(link, /^(http:\/\/127\.0\.0\.1|cursor:|vscode:)/);
}

// Every screen of the portal, in both themes, wide and narrow.
const screens = await page.locator('nav[aria-label="Screens"] a').evaluateAll((all) => all.map((it) => it.getAttribute('href').replace(/^\/portal\//, '')));
assert.ok(['', 'connect', 'playground', 'account'].every((it) => screens.includes(it)), screens.join());
const found = [];
for (const screen of [...screens, 'tools?tool=calendar__create_event', 'playground/calendar__create_event', 'no-such-page']) {
  await bob.move(screen);
  if (screen === 'connect') {
    await page.getByText('claude mcp add').first().waitFor();
    await picture(page, 'connect');
  }
  for (const [width, colorScheme, coloursAlone] of VIEWS) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme });
    for (const it of await judged(page, { coloursAlone })) found.push(`${screen} ${width} ${colorScheme}: ${it}`);
    if (world.looks) await page.screenshot({ path: join(world.looks, `portal-${screen.replaceAll(/[/?=]/g, '-')}.${width}.${colorScheme}.png`) });
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}
assert.deepEqual(found, [], found.join('\n'));

// Who they are; and out.
await bob.go('account');
await bob.see('bob');
await page.getByRole('main').getByRole('button', { name: 'Sign out', exact: true }).click();
await page.getByRole('heading', { name: 'Sign in to Doorward' }).waitFor();
await bob.close();
await browser.close();
console.log(`${clients.length} clients, two calls with forms, ${screens.length + 3} screens without a finding`);
