// A real browser at the console: signing in, what every story watches for, and clients of the gateway beside it.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { chromium } from 'playwright-core';

export const world = JSON.parse(process.env.WORLD);
export const CONSOLE = `${world.admin}/console/`;
export const PORTAL = `${world.clients}/portal/`;
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const PATIENCE = 30_000;

export const launch = () =>
  chromium.launch({ executablePath: world.chromium, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--disable-lcd-text'] });

const visitors = new Set();
// A story that fails shows what its pages say.
process.on('uncaughtException', async (error) => {
  console.error(error);
  for (const { page, wrong } of visitors) {
    const shown = await page.evaluate(() => document.body.innerText.replace(/\s*\n\s*/g, ' | ').slice(0, 1_500)).catch(String);
    console.error(`--- ${page.url()}\n${shown}\n${wrong.join('\n')}`);
  }
  process.exit(1);
});

/** Another page's window, with all that must not happen in it written down. */
export class Visitor {
  static async open(browser, { width = 1440, height = 900, theme = 'light', face = 'console', touch = false } = {}) {
    const visitor = new Visitor();
    visitor.context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce', hasTouch: touch, isMobile: touch, timezoneId: 'Europe/Vienna', locale: 'en-GB' });
    visitor.context.setDefaultTimeout(PATIENCE);
    visitor.page = await visitor.context.newPage();
    visitor.wrong = [];
    visitors.add(visitor);
    /** What the gateway may refuse in this story. */
    visitor.expected = new Set();
    visitor.base = face === 'portal' ? PORTAL : CONSOLE;
    /** Where its requests may go: to where it comes from, and nowhere else. */
    visitor.origins = new Set([new URL(visitor.base).origin]);
    /** How often the person has pressed something. */
    visitor.presses = 0;
    const { page, wrong } = visitor;
    await page.exposeBinding('pressed', () => {
      visitor.presses += 1;
    });
    await page.addInitScript(() => {
      window.violated = [];
      addEventListener('pointerdown', (event) => event.isTrusted && window.pressed(), true);
      // Whatever frame or page it was that ran something: it is written down before that page is left.
      Object.defineProperty(window, 'ran', { get: () => false, set: () => console.error('a payload ran') });
      // A warning says from where it comes.
      const warn = console.warn;
      console.warn = (...said) => warn(...said, new Error().stack);
      document.addEventListener('securitypolicyviolation', (event) => window.violated.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    });
    page.on('console', (message) => {
      // What a server answered is looked at below, and a gateway that is away is part of a story.
      if (['error', 'warning'].includes(message.type()) && !message.text().startsWith('Failed to load resource')) wrong.push(`console: ${message.text()} (${message.location().url}:${message.location().lineNumber}:${message.location().columnNumber} at ${page.url()})`);
    });
    page.on('pageerror', (error) => wrong.push(`error: ${error.stack ?? error}`));
    page.on('dialog', (dialog) => {
      wrong.push(`a dialog opened: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('popup', (popup) => wrong.push(`a window opened: ${popup.url()}`));
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      // What a provider's own page loads is its own affair.
      const from = URL.canParse(request.frame().url()) ? new URL(request.frame().url()).origin : '';
      if (visitor.origins.has(from) && from !== new URL(visitor.base).origin) return;
      if (!visitor.origins.has(origin) && !['data:', 'blob:'].includes(protocol)) wrong.push(`a request to ${request.url()}`);
    });
    page.on('response', (response) => {
      if (response.status() >= 400 && !visitor.expected.has(response.status())) wrong.push(`${response.status()} for ${response.url()}`);
    });
    if (world.application) await serveFrom(page, visitor.base, world.application);
    return visitor;
  }

  async signIn(name, path = '') {
    await this.page.goto(this.base + path);
    await this.page.getByLabel('API key').fill(world.keys[name]);
    await this.page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await this.page.locator('main h1').first().waitFor();
    await this.page.waitForURL(this.base + path);
    await this.settled();
    return this;
  }

  /** Goes to a screen as the application does, and waits until it is there. */
  async go(path) {
    await this.page.goto(this.base + path);
    await this.page.locator('main h1').first().waitFor();
    await this.settled();
  }

  /** Goes to a screen as the back button does: the page stays. */
  async move(path) {
    await this.page.evaluate(async (to) => {
      history.pushState(null, '', to);
      dispatchEvent(new PopStateEvent('popstate'));
      for (let n = 0; n < 2; n += 1) await new Promise((drawn) => requestAnimationFrame(drawn));
    }, this.base + path);
    await this.settled();
  }

  /** Nothing is loading any more. */
  async settled() {
    await this.page.waitForFunction(() => !document.querySelector('.waits, .is-busy, [aria-busy=true]') && document.querySelector('main h1'));
  }

  see(text, options) {
    return this.page.getByText(text, options).first().waitFor();
  }

  async toast(text) {
    await this.page.locator('.toasts').getByText(text).first().waitFor();
  }

  /** Answers the question of a dialog. */
  async confirm(action, reason) {
    const dialog = this.page.locator('dialog[open]').last();
    if (reason) await dialog.getByLabel('Reason').fill(reason);
    await dialog.getByRole('button', { name: action, exact: true }).click();
  }

  async close() {
    const page = this.page;
    const violated = await page.evaluate(() => window.violated ?? []);
    assert.deepEqual([...this.wrong, ...violated], [], 'what must not happen in a page');
    await this.context.close();
    visitors.delete(this);
  }
}

/** The built files of a folder instead of those in the binary, with the headers of the gateway. */
async function serveFrom(page, base, folder) {
  const prefix = new URL(base).pathname;
  await page.route(`${base}**`, async (route) => {
    const path = new URL(route.request().url()).pathname.slice(prefix.length);
    if (/^(auth|v1|mcp)\//.test(path)) return route.fallback();
    // A page that a redirect has led to is the binary's own, with its own files.
    if (path.startsWith('assets/') && !existsSync(join(folder, path))) return route.fallback();
    if (path.startsWith('assets/')) return route.fulfill({ body: readFileSync(join(folder, path)), contentType: TYPES[extname(path)] });
    const response = await route.fetch();
    return route.fulfill({ response, body: readFileSync(join(folder, 'index.html'), 'utf8').replace('/__BASE__/', prefix) });
  });
}

/** A call at the gateway, as a client makes it: its result or error. */
export const call = (who, name, args = {}, more = {}) => ask(who, 'tools/call', { name, arguments: args }, more);

/** A request of the current revision at the gateway. */
export async function ask(who, method, params = {}, more = {}) {
  const own = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}, ...more };
  const response = await fetch(`${world.clients}/mcp`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${world.keys[who]}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(params.name ? { 'mcp-name': params.name } : {}),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: own } }),
  });
  return JSON.parse(await response.text());
}

/** The text of a call's result. */
export async function said(who, name, args) {
  const { result, error } = await call(who, name, args);
  return result?.content?.map((part) => part.text).join(' ') ?? `error: ${error?.message}`;
}

/** A request at the admin API with a key. */
export async function admin(who, method, path, body) {
  const response = await fetch(`${world.admin}/admin/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${world.keys[who]}`, 'content-type': 'application/json', 'doorward-admin': '1' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, data: text ? JSON.parse(text) : null };
}

/** Asks the suite for what a browser cannot do. */
export async function suite(what, asked) {
  const response = await fetch(`${world.suite}/${what}`, { method: 'POST', body: asked === undefined ? '' : JSON.stringify(asked) });
  const text = await response.text();
  assert.equal(response.status, 200, `${what}: ${text}`);
  return JSON.parse(text);
}

/** The gateway reads definitions that a screen shows as those that are written otherwise. */
export async function readAlike(asked) {
  const { shown, written } = await suite('read', asked);
  assert.ok(shown.length > 20, shown);
  assert.equal(shown, written);
}

export async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
