// axe, the judge of accessibility, in a page of the browser: brought once, asked as often as one likes.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { world } from './browser.mjs';

/**
 * How each screen is looked at: width, theme, and whether for colours alone, since a theme changes nothing else. On a phone,
 * the rules that are not about colours find again what they find on a wide screen, nearly always.
 */
export const VIEWS = world.thorough ? [[1440, 'light', false], [1440, 'dark', true], [375, 'dark', false]] : [[1440, 'light', false], [375, 'dark', true]];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** WCAG 2.2 AA. */
export const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const TAGS = [...WCAG, 'best-practice'];

/** What is wrong with what a page shows now, in words. A theme changes colours alone: then these are enough. */
export async function judged(page, { coloursAlone = false, tags = TAGS } = {}) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  // Plots are drawn anew in another theme.
  await page.waitForFunction(() => [...document.querySelectorAll('.plot')].every((it) => it.querySelector('canvas')));
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  const runOnly = coloursAlone ? { type: 'rule', values: ['color-contrast'] } : { type: 'tag', values: tags };
  const { found, over } = await page.evaluate(async (runOnly) => {
    const { violations } = await window.axe.run(document, { runOnly, resultTypes: ['violations'] });
    const found = violations.map((it) => `${it.id} (${it.help}) at ${it.nodes.slice(0, 3).map((node) => node.target).join(' | ')}`);
    return { found, over: document.documentElement.scrollWidth - window.innerWidth };
  }, runOnly);
  return over > 0 ? [...found, `${over} px wider than the window`] : found;
}
