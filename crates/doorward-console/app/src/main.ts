import { mount } from 'svelte';
import App from './App.svelte';
import { start as startRouter } from './lib/router.svelte';
import { session } from './lib/session.svelte';
import { start as startTheme } from './lib/theme.svelte';
import './styles/tokens.css';
import './styles/base.css';
import './styles/layout.css';
import './styles/parts.css';

startTheme();
startRouter();
void session.load();
const target = document.getElementById('app');
if (target) mount(App, { target });
