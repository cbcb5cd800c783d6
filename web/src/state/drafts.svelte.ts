/** What was typed and not sent, per room; it survives a reload. */
import { SvelteMap } from 'svelte/reactivity';
import { store, stored } from './storage.ts';

class Drafts {
  #texts = new SvelteMap<string, string>();

  of(user: string, room: string): string {
    const key = keyOf(user, room);
    return this.#texts.get(key) ?? stored(key) ?? '';
  }

  keep(user: string, room: string, text: string): void {
    const key = keyOf(user, room);
    this.#texts.set(key, text);
    store(key, text);
  }
}

const keyOf = (user: string, room: string) => `natter.draft.${user}.${room}`;

export const drafts = new Drafts();
