// Much of everything that a gateway can have, for those who look at screens: calls of all outcomes, approvals that wait, a
// proposal, changed definitions, a hold, a stop, credit, keys.
import assert from 'node:assert/strict';
import { admin, ask, call, said, until, world } from './browser.mjs';

const CLIENTS = ['claude-code', 'cursor', 'help-desk-bot', 'vscode'];
/** Calls of some people with some clients, most of them successful. */
export async function traffic(rounds = 1) {
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, client] of CLIENTS.entries()) {
      const who = ['bob', 'ada', 'sam', 'lea'][(at + round) % 4];
      const more = { 'io.modelcontextprotocol/clientInfo': { name: client, version: '1.0.0' } };
      await Promise.all([
        call(who, 'tickets__search_ticket', { query: `invoice ${4000 + round}` }, more),
        call(who, 'wiki__search_pages', { words: 'holidays' }, more),
        call(who, 'calendar__list_events', { from: '2026-12-01' }, more),
        call(who, 'mail__send_mail', { to: `${who}@${at === 2 ? 'gmail.example' : 'example.com'}`, subject: 'Your refund' }, more),
      ]);
    }
  }
}

/** Returns what stories need to know of it. */
export async function furnish() {
  for (const [amount, customer] of [['250.00', 'Ada Lovelace'], ['1250.00', 'Grace Hopper'], ['79.90', 'Alan Turing']]) {
    await call('bob', 'payments__refund', { amount, customer, note: 'The parcel came late' });
  }
  await traffic();
  const made = async (method, path, body) => {
    const answered = await admin('root', method, path, body);
    assert.ok(answered.status < 300, `${path}: ${JSON.stringify(answered)}`);
    return answered.data;
  };
  await made('POST', 'servers', {
    name: 'crm', reason: 'Sales asks for it', settings: { url: 'https://crm.example.com/mcp', owner: 'sales', risk: 'medium', tags: ['sales'], notes: 'Reads accounts, and writes notes to them.' },
  });
  await made('POST', 'audit/holds', { principal: 'bob', reason: 'Case 2026-118' });
  const stop = await made('POST', 'stops', { kind: 'agent', name: 'old-bot', why: 'Its owner has left' });
  await made('POST', `stops/${stop.id}/lift`, { why: 'Somebody else takes it over' });
  for (const [kind, name, amount] of [['user', 'bob', '200'], ['user', 'ada', '50']]) await made('POST', `credits/${kind}/${name}/grant`, { amount, note: 'December' });
  await made('POST', 'keys', { owner: { kind: 'service_account', name: 'nightly-report' }, label: 'Every night at two' });
  // Overnight, a tool says something else.
  assert.equal(await said('bob', 'tickets__get_ticket', { id: '1' }), 'get_ticket: done');
  await fetch(`${world.servers}/change`, { method: 'POST' });
  await until('the change is noticed', async () => {
    await ask('bob', 'tools/list');
    return (await admin('root', 'GET', 'servers/tickets/drift')).data.items.length === 1;
  });
  const waiting = (await admin('root', 'GET', 'approvals?state=waiting')).data.items;
  const approvals = await Promise.all(waiting.map(async (it) => (await admin('root', 'GET', `approvals/${it.id}`)).data));
  const search = async (what) => (await admin('root', 'GET', `audit?from=${Date.now() - 3_600_000}&limit=100&${what}`)).data.items.find((it) => it.id);
  await until('calls are recorded', async () => (await search('server=mail&outcome=denied')) && (await search('server=wiki')));
  return { approval: approvals.find((it) => it.arguments.includes('Grace')).id, denied: (await search('server=mail&outcome=denied')).id };
}
