// The application against a running gateway, for development: `node dev.mjs [PORT] [ADMIN-URL]`. Serves the built files as
// the gateway does, answers the session of a gateway without authentication, and passes everything else on.
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const port = Number(process.argv[2] ?? 7390);
const admin = new URL(process.argv[3] ?? 'http://127.0.0.1:7301');
const clients = new URL(process.argv[4] ?? 'http://127.0.0.1:7300');
const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
  "base-uri 'self'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };
const ALL = 'view propose review approve operate manage_identities mint_keys change_policy read_audit read_payloads hold_audit bill stop';

function session(face) {
  return {
    signed_in: true, face, principal: { id: 'anonymous', name: 'anonymous', kind: 'user', tenant: null, teams: [], roles: [] },
    method: 'open', provider: null, expires_at: null, idle_seconds: null, may: face === 'console' ? (process.env.MAY ?? ALL).split(' ') : [], ways: [],
    gateway: { version: 'development', origin: clients.origin, console: `http://127.0.0.1:${port}/console/`, portal: `http://127.0.0.1:${port}/portal/` },
  };
}

function pass(request, response, target, path) {
  const headers = { ...request.headers, host: target.host };
  delete headers.cookie;
  if (headers.origin) headers.origin = target.origin;
  const upstream = http.request({ host: target.hostname, port: target.port, path, method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  upstream.on('error', (error) => {
    if (response.headersSent) return response.destroy();
    response.writeHead(502, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ type: 'about:blank', title: 'The gateway cannot be reached', status: 502, detail: String(error), code: 'unreachable' }));
  });
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body === null ? undefined : JSON.stringify(body));
}

http.createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  const path = url.pathname;
  const face = /^\/(console|portal)(\/|$)/.exec(path)?.[1];
  if (path === '/') return response.writeHead(303, { location: '/console/' }).end();
  if (!face) return pass(request, response, /^\/(portal\/v1|mcp|\.well-known)(\/|$)/.test(path) ? clients : admin, request.url);
  const rest = path.slice(face.length + 2);
  if (rest === 'auth/session') return json(response, 200, session(face));
  if (rest === 'auth/token') return json(response, 200, { token: '', expires_in: 300 });
  if (rest === 'auth/logout') return json(response, 200, { continue: null });
  if (rest.startsWith('mcp/')) return pass(request, response, clients, `/${rest.slice(4)}`);
  if (rest.startsWith('v1/')) return pass(request, response, clients, request.url);
  const file = join(dist, normalize(rest));
  if (rest.startsWith('assets/') && file.startsWith(dist) && existsSync(file)) {
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'cache-control': 'public, max-age=31536000, immutable' });
    return createReadStream(file).pipe(response);
  }
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache', 'content-security-policy': CSP });
  response.end(readFileSync(join(dist, 'index.html'), 'utf8').replace('/__BASE__/', `/${face}/`));
}).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/console/ for ${admin.origin}`));
