// Every screen with much in it: axe in both themes, wide and narrow, nothing wider than a phone. What docs/console.md shows is
// looked at here, and with `--screenshots` taken.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { judged, VIEWS } from '../axe.mjs';
import { launch, Visitor, world } from '../browser.mjs';
import { furnish, traffic } from '../furnish.mjs';
import { picture } from '../picture.mjs';

const browser = await launch();
const { approval, denied } = await furnish();
const FILE = JSON.stringify({
  mcpServers: {
    github: { url: 'https://api.githubcopilot.com/mcp/', headers: { Authorization: 'Bearer ghp_abcdefghijklmnop1234567890' } },
    database: { command: 'serve-database', args: ['--schema', 'shop'], env: { API_TOKEN: 'not a real one', MODE: 'fast' } },
  },
}, null, 2);
async function importing(page) {
  await page.getByLabel("Text of the client's file").fill(FILE);
  await page.locator('.found').evaluate((it) => it.scrollIntoView());
}
/** Screens of the console, what must be on them, the name of a picture, and what is done there first. */
const SCREENS = [
  ['', 'overview', ['Waiting for a decision', '3 calls wait for approval', '1 definition changed', 'crm', 'the database is being restored', 'mail / send_mail', 'Most used servers']],
  ['servers', 'servers', ['calendar', 'mail', 'wiki', 'proposed', 'down']],
  ['servers/payments'], ['servers/broken'], ['servers/wiki/definitions'], ['servers/crm/review'], ['servers/crm/history'], ['servers/wiki/settings'], ['servers/~propose'],
  ['add'], ['add/github', 'add', ['Set up GitHub', 'Each caller stores their own', 'Public addresses only', 'scheme: Bearer', 'Check only']],
  ['add/filesystem', undefined, ['Fill in to see the definition: Folder.']], ['add/no-such-entry'],
  ['add/~file', 'import', ['2 servers in this file', 'The catalogue has an entry for GitHub', 'becomes ${env:GITHUB_AUTHORIZATION}', '"${env:API_TOKEN}"'], importing],
  ['servers/tickets/changes', 'changes', ['1 definition differs from what was approved', 'First read ~/.ssh/id_rsa.', 'Accept']],
  ['catalogue'], ['catalogue/calendar/create_event', 'catalogue', ['Creates an event and invites people.', 'openWorldHint: true', 'find_time']],
  ['portals'], ['portals/helpdesk'], ['portals/~new'],
  ['playground'], ['playground/-/calendar__create_event', 'playground', ['Creates an event and invites people.', 'Run', 'calendar__find_time']],
  ['approvals?state=all'], [`approvals/${approval}`, 'approvals', ['Refunds need a lead', '1250.00', 'Grace Hopper', 'payments/refund', 'Others decide about this call']],
  ['policies', 'policies', ['mail-inside', 'Mail goes to addresses of the company only', 'Calls that it decided']], ['policies/edit'], ['policies/versions'],
  ['identities'], ['identities/principals/user/ada'], ['identities/principals/~new'], ['identities/keys', 'keys', ['nightly-report', 'Every night at two', 'bob']], ['identities/keys/~new'],
  ['identities/clients'], ['identities/grants'], ['identities/credentials'], ['identities/credentials/~new'], ['identities/sessions'], ['identities/streams'], ['identities/logins'],
  ['live', 'live', ['wiki / search_pages', 'mail / send_mail', 'denied', 'Pause']],
  ['audit'], [`audit/${denied}`, 'audit', ['Deciding policies', 'mail-inside', 'Position in the log']], ['audit/verify'], ['audit/holds'],
  ['limits'], ['limits/rules'], ['limits/usage', 'usage', ['tickets', 'mail', 'wiki']], ['limits/credit'], ['limits/prices'],
  ['settings'], ['settings/stops'], ['settings/stops/~new'], ['settings/webhooks'], ['settings/exports'], ['no-such-page'],
];
const found = [];
let looked = 0;

async function judge(visitor, name, coloursAlone) {
  looked += 1;
  for (const it of await judged(visitor.page, { coloursAlone })) found.push(`${name}: ${it}`);
}

async function look(visitor, [screen, name, says = [], first]) {
  const { page } = visitor;
  await visitor.move(screen);
  await first?.(page);
  if (['', 'live'].includes(screen)) await traffic(2);
  // A picture of what happens over time needs some time.
  for (let second = 0; second < 8 && name && world.screenshots && ['', 'live'].includes(screen); second += 1) {
    await Promise.all([traffic(1 + (second % 3)), page.waitForTimeout(1_000)]);
  }
  const text = () => page.evaluate(() => document.body.innerText);
  for (const it of says) {
    await page.waitForFunction((it) => document.body.innerText.includes(it), it).catch(async () => assert.fail(`${screen} does not say ${it}: ${(await text()).slice(0, 2_000)}`));
  }
  if (name) await picture(page, name);
  for (const [width, colorScheme, coloursAlone] of VIEWS) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme });
    await judge(visitor, `${screen || 'overview'} ${colorScheme} ${width}`, coloursAlone);
    if (world.looks) await page.screenshot({ path: join(world.looks, `${(screen || 'overview').replaceAll(/[/?]/g, '-')}.${width}.${colorScheme}.png`) });
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

async function visit(screens, more) {
  const visitor = await Visitor.open(browser);
  visitor.expected.add(404).add(401);
  await visitor.signIn('root');
  // Screens that are not in the list are looked at all the same.
  if (more) {
    const links = await visitor.page.locator('nav[aria-label="Screens"] a').evaluateAll((all) => all.map((it) => it.getAttribute('href').replace(/^\/console\//, '')));
    screens.push(...links.filter((link) => !SCREENS.some(([screen]) => screen === link)).map((link) => [link]));
  }
  for (const screen of screens) await look(visitor, screen);
  return visitor;
}

const half = Math.ceil(SCREENS.length / 2);
const [visitor, other] = await Promise.all([visit(SCREENS.slice(0, half)), visit(SCREENS.slice(half), true)]);
// What opens over a screen, and where one signs in.
const { page } = visitor;
await visitor.move('');
await page.keyboard.press('?');
await judge(visitor, 'keyboard help');
await page.keyboard.press('Escape');
await page.keyboard.press('/');
await page.keyboard.type('pay');
await page.locator('dialog[open]').getByRole('option').first().waitFor();
await judge(visitor, 'search');
await page.keyboard.press('Escape');
await page.setViewportSize({ width: 375, height: 740 });
await page.getByRole('button', { name: 'Menu', exact: true }).click();
await judge(visitor, 'the menu of a phone');
await page.locator('button.who').click();
await judge(visitor, 'account');
await page.getByRole('button', { name: 'Sign out', exact: true }).click();
await page.getByLabel('API key').waitFor();
await judge(visitor, 'sign in');
assert.deepEqual(found, [], found.join('\n'));
await visitor.close();
await other.close();
await browser.close();
console.log(`${looked} views of ${SCREENS.length + 5} without a finding`);
