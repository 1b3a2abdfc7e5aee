// Rules that keep the application safe under its Content-Security-Policy, and its texts in one place.
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../src/', import.meta.url));
const RULES = [
  [/\{@html\b/, 'shows a string as HTML: show it as text'],
  [/\.(innerHTML|outerHTML)\b|insertAdjacentHTML|document\.write|createContextualFragment|setHTMLUnsafe/, 'makes HTML of a string'],
  [/\beval\s*\(|new Function\b/, 'makes code of a string'],
  [/\sstyle="/, "has a style attribute, which the policy refuses: use a class or a 'style:' directive"],
  [/<style[^>]*>/, 'has styles of its own: they belong in src/styles'],
  [/(?:href|action)=\{(?!href\(|to\(|safeUrl\(|link\b)/, "has an address that is not made by href(), to() or safeUrl()"],
  [/target="_blank"(?![^>]*rel="noopener noreferrer")/, 'opens a window without rel="noopener noreferrer"'],
  [/\blocalStorage\b|\bsessionStorage\b|document\.cookie/, 'keeps data in the browser: only src/lib/remember.ts may'],
  [/https?:\/\/(?!www\.w3\.org\/|127\.0\.0\.1|localhost|\$\{)/, 'names an address elsewhere: only src/texts.ts may'],
];
const EXCEPT = { 'lib/remember.ts': [7], 'texts.ts': [8], 'api/admin.d.ts': [8] };

let found = 0;
for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.(svelte|ts)$/.test(entry.name)) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const name = relative(root, path);
  readFileSync(path, 'utf8').split('\n').forEach((line, at) => {
    RULES.forEach(([pattern, why], rule) => {
      if (!pattern.test(line) || EXCEPT[name]?.includes(rule)) return;
      console.error(`src/${name}:${at + 1}: ${why}`);
      found += 1;
    });
  });
}
if (found > 0) {
  console.error(`${found} found`);
  process.exit(1);
}
