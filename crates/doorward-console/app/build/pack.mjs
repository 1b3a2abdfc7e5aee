// After the build: compresses every asset once and for all, and finds the first load too large if it is.
// Equal sources give equal files, byte for byte.
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const MOST = 300 * 1024;
const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'));
rmSync(join(dist, '.vite'), { recursive: true });

const index = readFileSync(join(dist, 'index.html'), 'utf8');
if (!index.includes('<base href="/__BASE__/" />') && !index.includes('<base href="/__BASE__/">')) {
  throw new Error('index.html has lost its <base href="/__BASE__/">');
}
if (/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/.test(index)) throw new Error('index.html has inline code');
// One literal for the server to replace.
writeFileSync(join(dist, 'index.html'), index.replace('<base href="/__BASE__/" />', '<base href="/__BASE__/">'));

const sizes = new Map();
for (const name of readdirSync(join(dist, 'assets')).sort()) {
  const path = join(dist, 'assets', name);
  const bytes = readFileSync(path);
  const br = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  });
  writeFileSync(`${path}.br`, br);
  const gz = gzipSync(bytes, { level: 9 });
  gz[9] = 255; // the system it was made on: unknown, wherever that is
  writeFileSync(`${path}.gz`, gz);
  sizes.set(`assets/${name}`, { plain: bytes.length, br: br.length, gz: gz.length });
}

/** What is loaded for an entry of the manifest: itself, its styles, and what it imports, without what it loads later. */
function loaded(key, seen = new Set()) {
  const entry = manifest[key];
  if (!entry || seen.has(entry.file)) return seen;
  seen.add(entry.file);
  for (const css of entry.css ?? []) seen.add(css);
  for (const next of entry.imports ?? []) loaded(next, seen);
  return seen;
}

const total = (files, kind) => [...files].reduce((sum, file) => sum + (sizes.get(file)?.[kind] ?? 0), 0);
const first = loaded('index.html');
for (const screen of ['src/console/Overview.svelte']) loaded(screen, first);
const kb = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;
for (const [file, size] of sizes) console.log(`${file.padEnd(48)} ${kb(size.plain).padStart(10)} ${kb(size.br).padStart(10)} br ${first.has(file) ? ' first load' : ''}`);
const html = statSync(join(dist, 'index.html')).size;
const sum = total(first, 'gz') + html;
console.log(`first load: ${kb(total(first, 'br') + html)} by brotli, ${kb(sum)} by gzip, of ${kb(MOST)}`);
if (sum > MOST) throw new Error(`the first load is ${kb(sum)}, more than ${kb(MOST)}`);
