/** Light or dark: as the system says, unless the user chose. */
import { store, stored } from './storage.ts';

export type ThemeChoice = 'system' | 'light' | 'dark';
const KEY = 'natter.theme';

class Theme {
  choice = $state<ThemeChoice>(read());

  constructor() {
    this.#apply();
  }

  choose(choice: ThemeChoice): void {
    this.choice = choice;
    store(KEY, choice === 'system' ? null : choice);
    this.#apply();
  }

  #apply(): void {
    if (this.choice === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.choice;
  }
}

function read(): ThemeChoice {
  const choice = stored(KEY);
  return choice === 'light' || choice === 'dark' ? choice : 'system';
}

export const theme = new Theme();
