import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  preprocess: vitePreprocess(),
  // Styles in files: the page's Content-Security-Policy permits no inline ones.
  compilerOptions: { css: 'external', runes: true },
};
