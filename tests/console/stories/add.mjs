// Servers from the catalogue of ready entries: found, understood, filled in, proposed, or written for the configuration file,
// which the gateway itself then reads.
import assert from 'node:assert/strict';
import { admin, launch, readAlike, Visitor, world } from '../browser.mjs';

const browser = await launch();
const ada = await Visitor.open(browser);
const { page } = ada;
// What is not in use has no state yet.
ada.expected.add(404);
await ada.signIn('ada', 'servers');
await page.getByRole('link', { name: 'Add servers' }).first().click();
await page.getByRole('heading', { name: 'Add servers', level: 1 }).waitFor();
const rows = page.getByRole('grid').locator('.body [role=row]');
await rows.first().waitFor();

// Found by words and by what it needs; the address says so.
await page.getByRole('searchbox').fill('documentation');
await page.getByLabel('Needs', { exact: true }).selectOption('nothing');
await rows.filter({ hasText: 'Microsoft Learn' }).waitFor();
await page.waitForURL(({ searchParams: it }) => it.get('q') === 'documentation' && it.get('needs') === 'nothing');
assert.ok((await rows.allInnerTexts()).every((it) => it.includes('nothing')));
await page.getByRole('searchbox').fill('no such thing');
await ada.see('Nothing matches');
await page.getByRole('button', { name: 'Clear the search' }).click();

const how = page.getByRole('region', { name: 'How it is added' });
const definition = () => how.getByRole('region', { name: 'Definition' }).innerText();
const allowed = page.getByRole('region', { name: 'What it is allowed' });

// A service that needs nothing: checked, then proposed, and nothing else is.
await rows.filter({ hasText: 'Microsoft Learn' }).getByRole('link').click();
await page.getByRole('heading', { name: 'Microsoft Learn', level: 1 }).waitFor();
await allowed.getByText('Public addresses only, unless a reviewer allows others.').waitFor();
const names = async () => (await admin('root', 'GET', 'servers')).data.items.map((it) => it.name);
await how.getByRole('button', { name: 'Check only' }).click();
await ada.see('The gateway would accept this proposal');
assert.ok(!(await names()).includes('microsoft-learn'), 'a check has proposed something');
await how.getByLabel('Reason').fill('documentation for developers');
await how.getByRole('button', { name: 'Propose', exact: true }).click();
await ada.toast('microsoft-learn is proposed');
await page.getByRole('heading', { name: 'microsoft-learn', level: 1 }).waitFor();
const proposed = (await admin('root', 'GET', 'servers/microsoft-learn')).data;
assert.deepEqual([proposed.state, proposed.settings.owner, proposed.proposed_by], ['proposed', 'ada', 'user "ada"']);
// Whoever comes next sees that it is there, and what would change.
await ada.go('add?q=learn');
await rows.filter({ hasText: 'in use as microsoft-learn' }).waitFor();
await ada.go('add/microsoft-learn');
await ada.see("There is a server 'microsoft-learn' already");
await how.getByText('What would change for microsoft-learn').waitFor();

// A service that needs a key: a proposal never has one, each caller stores their own.
await ada.go('add/github');
await ada.see('Each caller stores their own in the portal');
assert.match(await definition(), /personal:\n\s+header: Authorization\n\s+scheme: Bearer\n\s+required: true/);
await how.getByRole('button', { name: 'JSON' }).click();
assert.equal(JSON.parse(await definition()).github.personal.header, 'Authorization');
await how.getByRole('button', { name: 'YAML' }).click();
// In the configuration file, it is a reference. Where one gets the key is a link; the key itself is not taken.
await how.getByRole('button', { name: 'Configuration file' }).click();
const form = page.getByRole('region', { name: 'Set up GitHub' });
assert.match(await form.getByRole('link', { name: /^Get it/ }).getAttribute('href'), /^https:\/\/github\.com\//);
assert.match(await definition(), /Authorization: "Bearer \$\{env:GITHUB_TOKEN\}"/);
await form.getByLabel('Name of the variable').fill('ghp_abcdefghijklmnop1234567890');
await form.getByText('This looks like the secret itself').waitFor();
assert.ok(!(await how.innerText()).includes('ghp_'), 'a key is part of the definition');
await form.getByRole('combobox').selectOption('vault');
await form.getByLabel('Path and field').fill('kv/github#token');
assert.match(await definition(), /\$\{vault:kv\/github#token\}/);
await how.getByText("doorward catalog add github --set 'token=${vault:kv/github#token}' --file doorward.yaml").waitFor();

// A package: what it may do, its digest, and why nobody can start it from here.
await ada.go('add/filesystem');
await ada.see('so that nobody can start one from a browser');
await allowed.getByText(/^sha512-/).waitFor();
await allowed.getByText('‹Folder›').first().waitFor();
await ada.see('Fill in to see the definition: Folder.');
await page.getByLabel('Folder').fill('srv');
await ada.see('This does not have the form that the server expects');
await page.getByLabel('Folder').fill("/srv/team's files: 2026 #1");
await how.getByText('doorward servers lock').waitFor();
assert.equal(await how.getByRole('button', { name: 'Propose', exact: true }).count(), 0);

// What the screen shows is what the gateway reads, and what the command line writes.
const entries = (await admin('root', 'GET', 'catalog?limit=1000')).data.items;
const asked = { shown: [], catalog: [] };
// Each kind of entry, and all of them if there is time.
const wanted = entries.filter((it, at) => world.thorough || at % 6 === 0 || it.parameters.length > 1 || it.id === 'filesystem');
for (const entry of wanted) {
  await ada.move(`add/${entry.id}`);
  await page.getByRole('heading', { name: entry.title, level: 1, exact: true }).waitFor();
  const asFile = how.getByRole('button', { name: 'Configuration file' });
  if (await asFile.count()) await asFile.click();
  const set = [];
  for (const it of entry.parameters.filter((it) => !it.secret)) {
    await page.getByLabel(it.title, { exact: false }).and(page.locator('input')).first().fill(it.example);
    set.push('--set', `${it.name}=${it.example}`);
  }
  asked.shown.push(await definition());
  asked.catalog.push([entry.id, ...set]);
}
assert.ok(asked.shown.length > (world.thorough ? 40 : 12), `${asked.shown.length} entries`);
await readAlike(asked);

await ada.close();
await browser.close();
console.log(`found, checked, proposed; a key is a reference; ${asked.shown.length} definitions that the gateway reads as those of the command line`);
