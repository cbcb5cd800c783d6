/** The outbox in a browser: one drawer of local storage per tab, and orphans are adopted. */
import { newId, type Entry, type OutboxStore } from './outbox.ts';

const PREFIX = 'natter.outbox';

/**
 * Keeps this tab's entries under a key of its own. A tab that starts takes over the drawers of
 * tabs that are gone. Should both be alive after all, the `client_id` keeps a double send harmless.
 */
export class LocalOutboxStore implements OutboxStore {
  readonly #user: string;
  readonly #key: string;
  #loaded: Entry[] = [];

  private constructor(user: string) {
    this.#user = user;
    this.#key = `${PREFIX}.${user}.${newId()}`;
  }

  /** The store of this tab, holding what gone tabs of the same user left behind. */
  static async open(user: string): Promise<LocalOutboxStore> {
    const store = new LocalOutboxStore(user);
    const alive = await holdLock(store.#key);
    store.#adopt(alive);
    return store;
  }

  load(): Entry[] {
    return this.#loaded;
  }

  save(entries: Entry[]): void {
    try {
      if (entries.length > 0) localStorage.setItem(this.#key, JSON.stringify(entries));
      else localStorage.removeItem(this.#key);
    } catch {
      // Storage full or forbidden: the entries live as long as the page.
    }
  }

  #adopt(alive: ReadonlySet<string>): void {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(`${PREFIX}.${this.#user}.`));
      for (const key of keys) {
        if (alive.has(key)) continue;
        this.#loaded.push(...(JSON.parse(localStorage.getItem(key) ?? '[]') as Entry[]));
        localStorage.removeItem(key);
      }
      this.#loaded.sort((a, b) => a.created_at.localeCompare(b.created_at));
      this.save(this.#loaded);
    } catch {
      // Nothing readable was left behind.
    }
  }
}

/** Holds a lock named `name` as long as the tab lives, and tells which locks others hold. */
async function holdLock(name: string): Promise<ReadonlySet<string>> {
  if (typeof navigator === 'undefined' || !navigator.locks) return new Set();
  void navigator.locks.request(name, () => new Promise(() => {}));
  const { held } = await navigator.locks.query();
  return new Set(held?.map((lock) => lock.name ?? ''));
}
