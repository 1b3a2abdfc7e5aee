import { describe, expect, it } from 'vitest';
import catalog from '../../../doorward-clients/src/catalog.json';
import { command, fill, identity, isService, looksSecret, needs, proposal, reference, variables, type Entry } from '../src/lib/catalog';
import { packageOf, readClientFile, settled, type Found } from '../src/lib/client-file';
import { parseJsonc } from '../src/lib/jsonc';
import { yaml } from '../src/lib/yaml';

const entries = (catalog as unknown as Entry[]).map((it) => ({
  ...it, parameters: it.parameters.map((parameter) => ({ ...parameter, required: parameter.required ?? true })),
}));
const entry = (id: string): Entry => entries.find((it) => it.id === id) as Entry;
const examples = (it: Entry): Record<string, string> => Object.fromEntries(it.parameters.flatMap((parameter) => (parameter.example ? [[parameter.name, parameter.example]] : [])));

describe('an entry of the catalogue', () => {
  it('is complete with the examples of its parameters, and with no secret', () => {
    expect(entries.length).toBeGreaterThan(40);
    for (const one of entries) {
      const { settings, wrong } = fill(one, examples(one));
      expect(wrong, one.id).toEqual({});
      expect(JSON.stringify(settings), one.id).not.toContain('{{');
      expect(variables(settings).sort(), one.id).toEqual(one.parameters.flatMap((it) => it.variable ?? []).sort());
    }
  });
  it('says what is missing or wrong, and takes no secret', () => {
    expect(fill(entry('filesystem'), {}).wrong).toEqual({ folder: 'required' });
    expect(fill(entry('filesystem'), { folder: 'relative' }).wrong).toEqual({ folder: 'pattern' });
    expect(fill(entry('filesystem'), { folder: '/a\nb' }).wrong).toEqual({ folder: 'characters' });
    const { settings, wrong } = fill(entry('github'), { token: 'ghp_secret' });
    expect(wrong).toEqual({ token: 'secret' });
    expect(JSON.stringify(settings)).not.toContain('ghp_secret');
    expect(fill(entry('github'), { token: '${file:/run/token}' }).settings['headers']).toEqual({ Authorization: 'Bearer ${file:/run/token}' });
  });
  it('can be proposed where it is a service without a login', () => {
    for (const one of entries) {
      const made = proposal(fill(one, examples(one)).settings);
      if (!isService(one)) expect(made, one.id).toEqual({ whyNot: 'program' });
      else if (needs(one) === 'login') expect(made, one.id).toEqual({ whyNot: 'login' });
      else if ('settings' in made) {
        expect(JSON.stringify(made.settings), one.id).not.toMatch(/\$\{|public_only/);
        expect(made.personal, one.id).toBe(needs(one) === 'key');
      } else expect.fail(`${one.id}: ${made.whyNot}`);
    }
    expect(proposal(fill(entry('exa'), {}).settings)).toMatchObject({ settings: { personal: { header: 'x-api-key', required: true } } });
    expect(proposal(fill(entry('github'), {}).settings)).toMatchObject({ settings: { personal: { header: 'Authorization', scheme: 'Bearer', required: true } } });
  });
  it('is added by a command that a shell takes as it stands', () => {
    expect(command(entry('filesystem'), 'docs', { folder: "/srv/it's $(here)" })).toBe("doorward catalog add filesystem --name docs --set 'folder=/srv/it'\\''s $(here)' --file doorward.yaml");
    expect(command(entry('github'), 'github', { token: '${env:GITHUB_TOKEN}' })).toBe('doorward catalog add github --file doorward.yaml');
  });
});

describe('a reference to a secret', () => {
  it('names where the gateway finds it', () => {
    expect(reference('env', ' TOKEN ')).toEqual({ text: '${env:TOKEN}' });
    expect(reference('file', '/run/secrets/token')).toEqual({ text: '${file:/run/secrets/token}' });
    expect(reference('vault', 'kv/github#token')).toEqual({ text: '${vault:kv/github#token}' });
    for (const [source, name] of [['env', 'A-B'], ['env', 'A}x'], ['file', 'relative'], ['file', '/a}b'], ['vault', 'no-field']] as const) expect(reference(source, name), name).toEqual({ wrong: 'reference' });
  });
  it('is never the secret itself', () => {
    for (const secret of ['ghp_abcdefghijklmnop1234567890', 'sk_live_abcdefghij0123456789', 'AKIAIOSFODNN7EXAMPLE', 'a8f5f167f44f4964e6c998dee827110c']) expect(reference('env', secret), secret).toEqual({ wrong: 'secret' });
    expect(reference('env', 'GITHUB_TOKEN_FOR_PRODUCTION_2')).toEqual({ text: '${env:GITHUB_TOKEN_FOR_PRODUCTION_2}' });
    for (const plain of ['/srv/files/of/the/team/2026', 'https://example.com/path/to/2026', '@modelcontextprotocol/server-filesystem', 'production', 'example.com']) expect(looksSecret(plain), plain).toBe(false);
  });
});

describe('YAML', () => {
  it('quotes what could be read as something else', () => {
    for (const text of ['', 'true', 'No', '~', '1.5', '0x1', '-', '- a', 'a: b', 'a #b', '@x', '*x', '&x', '!x', "it's", '${env:X}', ' a', 'a ', 'x\ny', '2026-01-01', '[a]', '{a}', '%a', '\u2028', '\u0085', '\ufeff', '=', '<<', '.5', '1_000', '12:30', 'é']) {
      expect(yaml({ a: text }), text).toMatch(/^a: "[ -~é]*"\n$/);
    }
    for (const text of ['text', 'a b', 'GITHUB_TOKEN', '/srv/files', 'mcp-server', 'a.b']) expect(yaml({ a: text })).toBe(`a: ${text}\n`);
  });
  it('writes members, lists and lists of members', () => {
    expect(yaml({ a: { b: [1, true, null, 'x'], c: [], d: {} }, e: [{ f: 1, g: ['h'] }, [2, [3]]], 'i j:': 'k' })).toBe(
      'a:\n  b:\n    - 1\n    - true\n    - null\n    - x\n  c: []\n  d: {}\ne:\n  - f: 1\n    g:\n      - h\n  -\n    - 2\n    -\n      - 3\n"i j:": k\n',
    );
    expect(yaml({})).toBe('{}\n');
  });
});

describe('JSON of clients', () => {
  const value = (text: string): unknown => {
    const read = parseJsonc(text);
    return 'value' in read ? read.value : read;
  };
  it('may have comments, commas at the end, and a byte order mark', () => {
    expect(value('\ufeff// a\n{ "a": [1, 2,], /* b */ "c": "// no, /* neither */", // d\n}\n')).toEqual({ a: [1, 2], c: '// no, /* neither */' });
    expect(value('"\\u00e9\\n"')).toBe('é\n');
    expect(value('[-1.5e3, 0, true, null, {}]')).toEqual([-1500, 0, true, null, {}]);
  });
  it('says the line of what is wrong, and quotes nothing', () => {
    for (const [text, line, fault] of [
      ['{\n "a": x}', 2, 'value'], ['{\n "a" 1}', 2, 'colon'], ['{\n"a": 1\n"b": 2}', 3, 'comma'], ['{a: 1}', 1, 'name'], ['{"a": "b\n"}', 1, 'string'],
      ['{} x', 1, 'after'], ['{"a": [', 1, 'end'], ['/* x', 1, 'comment'], ['[,]', 1, 'value'], ['{"a": 01}', 1, 'value'], [`${'['.repeat(200)}`, 1, 'deep'], ['', 1, 'end'],
    ] as const) expect(value(text), text).toEqual({ line, fault });
  });
  it('has no member that is not its own', () => {
    const read = value('{"__proto__": {"polluted": 1}}') as object;
    expect(Object.hasOwn(read, '__proto__')).toBe(true);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe("a client's file", () => {
  const read = (file: unknown): Found[] => {
    const found = readClientFile(typeof file === 'string' ? file : JSON.stringify(file));
    if ('problem' in found) throw new Error(JSON.stringify(found.problem));
    return found.servers;
  };
  const chosen = (it: Found | undefined): Record<string, unknown> => settled(it as Found, new Set((it as Found).values.filter((one) => one.secret).map((one) => one.id)));

  it('is read in the form of each client', () => {
    const one = { url: 'https://a.example/mcp' };
    for (const file of [{ mcpServers: { a: one } }, { servers: { a: one } }, { mcp: { servers: { a: one } } }, { context_servers: { a: one } }, { projects: { '/x': { mcpServers: { a: one } } } }]) {
      expect(read(file).map((it) => [it.name, chosen(it)]), JSON.stringify(file)).toEqual([['a', one]]);
    }
    expect(read({ mcpServers: { a: { serverUrl: one.url }, b: { httpUrl: one.url, type: 'http' } } }).map(chosen)).toEqual([one, one]);
    expect(read({ context_servers: { a: { command: { path: 'npx', args: ['-y', 'x'], env: { A: '1' } } } } }).map(chosen)).toEqual([{ command: 'npx', args: ['-y', 'x'], env: { A: '1' } }]);
  });
  it('loses nothing in silence', () => {
    const [web, program, off] = read({ mcpServers: {
      'my web': { url: 'https://a.example/', headers: { 'X-Team': 'support' }, oauth: {}, alwaysAllow: [] },
      b: { command: 'serve', cwd: '/srv', env: { N: 1, B: null }, envFile: '.env' },
      'my-web': { url: 'https://b.example/', enabled: false },
    } });
    expect([web?.name, web?.ignored, chosen(web)]).toEqual(['my-web', ['oauth'], { url: 'https://a.example/', headers: { 'X-Team': 'support' } }]);
    expect([program?.ignored, chosen(program)]).toEqual([['envFile'], { command: 'serve', cwd: '/srv', env: { N: '1' } }]);
    expect([off?.name, chosen(off)]).toEqual(['my-web-2', { url: 'https://b.example/', disabled: true }]);
  });
  it('has its secrets replaced by references, wherever they are', () => {
    const secrets = ['ghp_abcdefghijklmnop1234567890', 'hunter2', 'tvly-0123456789', 's3cr3t', 'postgres://me:pw@db/x', 'abc'];
    const all = read({ mcpServers: {
      github: { url: 'https://api.example/mcp', headers: { Authorization: `Bearer ${secrets[0]}` } },
      files: { command: 'npx', args: ['-y', 'server', '--password', secrets[1], `--api-key=${secrets[3]}`, '--header', `Authorization: Bearer ${secrets[5]}`, '--level', 'debug', secrets[4]], env: { API_TOKEN: secrets[3], MODE: 'fast', HIDDEN: secrets[0] } },
      search: { url: `https://mcp.example.com/mcp/?tavilyApiKey=${secrets[2]}&x=1` },
    } });
    const text = JSON.stringify(all.map(chosen));
    for (const secret of secrets) expect(text, secret).not.toContain(`${secret}"`);
    expect(all.map(chosen)).toEqual([
      { url: 'https://api.example/mcp', headers: { Authorization: 'Bearer ${env:GITHUB_AUTHORIZATION}' } },
      {
        command: 'npx',
        args: ['-y', 'server', '--password', '${env:FILES_PASSWORD}', '--api-key=${env:FILES_API_KEY}', '--header', 'Authorization: Bearer ${env:FILES_AUTHORIZATION}', '--level', 'debug', '${env:FILES_SECRET}'],
        env: { API_TOKEN: '${env:API_TOKEN}', MODE: 'fast', HIDDEN: '${env:HIDDEN}' },
      },
      { url: 'https://mcp.example.com/mcp/?tavilyApiKey=${env:SEARCH_TAVILYAPIKEY}&x=1' },
    ]);
    // A person decides: what is no secret to them stays as it is.
    expect(settled(all[1] as Found, new Set())['env']).toEqual({ API_TOKEN: 's3cr3t', MODE: 'fast', HIDDEN: secrets[0] });
  });
  it("has its references in the gateway's form", () => {
    const [one] = read({ servers: { x: { command: 'a', env: { A: '${KEY:-x}', B: '${env:C}', C: '${input:my-key}', D: '$TOKEN', E: 'a$b', F: '$${b}' }, args: ['${workspaceFolder}/x'], headers: {} } } });
    expect(chosen(one)['env']).toEqual({ A: '${env:KEY:-x}', B: '${env:C}', C: '${env:X_MY_KEY}', D: '${env:TOKEN}', E: 'a$b', F: '$${b}' });
    expect(one?.unknown).toEqual(['${workspaceFolder}']);
  });
  it('can be proposed as far as it has no secret of the gateway', () => {
    const made = (settings: Record<string, unknown>): unknown => proposal(chosen(read({ mcpServers: { a: settings } })[0]));
    const url = 'https://a.example/mcp';
    expect(made({ url })).toEqual({ settings: { url }, personal: false });
    expect(made({ url, headers: { Authorization: 'Bearer x', 'X-Team': 'a' } })).toEqual({ settings: { url, headers: { 'X-Team': 'a' }, personal: { header: 'Authorization', scheme: 'Bearer', required: true } }, personal: true });
    expect(made({ url, headers: { 'X-Key': 'a', Cookie: 'b' } })).toEqual({ whyNot: 'keys' });
    expect(made({ url: `${url}?token=abc` })).toEqual({ whyNot: 'address' });
    expect(made({ command: 'x' })).toEqual({ whyNot: 'program' });
  });
  it('is recognized in the catalogue', () => {
    const known = new Map(entries.flatMap((it) => (identity(it.server) ? [[identity(it.server), it.id]] : [])));
    for (const [settings, id] of [
      [{ command: 'npx', args: ['-y', '@modelcontextprotocol/server-filesystem@latest', '/x'] }, 'filesystem'],
      [{ command: '/usr/bin/uvx', args: ['--from', 'redis-mcp-server[all]==0.5', 'serve'] }, 'redis'],
      [{ command: 'C:\\tools\\npx.cmd', args: ['--yes', '@brave/brave-search-mcp-server'] }, 'brave-search'],
      [{ command: 'python', args: ['x.py'] }, undefined],
    ] as const) expect(known.get(packageOf(settings as unknown as Record<string, unknown>)), JSON.stringify(settings)).toBe(id);
    expect(known.get(identity({ url: 'https://mcp.exa.ai/mcp?x=1' }))).toBe('exa');
  });
  it('is refused in words otherwise', () => {
    for (const [text, problem] of [
      ['', { kind: 'empty' }], ['[mcp_servers.x]\nurl = "u"', { kind: 'toml' }], ['{}', { kind: 'none' }], ['[]', { kind: 'none' }], ['{"mcpServers": {', { kind: 'json', line: 1, fault: 'end' }],
      [`"${'x'.repeat(1 << 20)}"`, { kind: 'large' }], [JSON.stringify({ mcpServers: Object.fromEntries(Array.from({ length: 201 }, (_, n) => [`s${n}`, {}])) }), { kind: 'many' }],
    ] as const) expect(readClientFile(text), text.slice(0, 40)).toEqual({ problem });
    // Names that are members of every object are names like any other.
    expect(read('{"mcpServers": {"__proto__": {"url": "https://a.example/"}, "constructor": {"command": "x", "env": {"__proto__": "a"}}}}').map((it) => it.name)).toEqual(['s--proto--', 'constructor']);
  });
});
