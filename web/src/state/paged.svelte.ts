/** A list that is read page by page, for tables. */
import type { Page } from '../client/index.ts';
import { toasts } from './toasts.svelte.ts';

export class Paged<T> {
  items = $state.raw<T[]>([]);
  /** Null when nothing follows. */
  next = $state.raw<string | null>(null);
  isLoading = $state(false);
  isLoaded = $state(false);
  readonly #read: (next?: string) => Promise<Page<T>>;

  constructor(read: (next?: string) => Promise<Page<T>>) {
    this.#read = read;
  }

  /** Reads the list from its beginning. */
  async reload(): Promise<void> {
    await this.#load(undefined);
  }

  async more(): Promise<void> {
    if (this.next) await this.#load(this.next);
  }

  async #load(next: string | undefined): Promise<void> {
    this.isLoading = true;
    try {
      const page = await this.#read(next);
      this.items = next ? [...this.items, ...page.items] : page.items;
      this.next = page.next;
      this.isLoaded = true;
    } catch (thrown) {
      toasts.fail(thrown);
    } finally {
      this.isLoading = false;
    }
  }
}
