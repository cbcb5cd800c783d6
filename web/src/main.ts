import { mount } from 'svelte';
import App from './components/App.svelte';
import { language } from './i18n/index.svelte.ts';
import { session } from './state/session.svelte.ts';
import './styles/base.css';
import './styles/controls.css';

await language.begin();
void session.begin();
mount(App, { target: document.getElementById('app') as HTMLElement });
