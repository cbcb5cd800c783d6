/** The access token: kept, renewed before it ends, and shared with the other tabs of a browser. */
import { Backoff } from './backoff.ts';
import { asNatterError } from './errors.ts';
import type { Http, TokenSource } from './http.ts';
import type { TokenAnswer } from './types.ts';

/** A token and its life, by this machine's clock. */
export interface Grant {
  token: string;
  /** Milliseconds since 1970. */
  issuedAt: number;
  expiresAt: number;
}

/** Where a grant survives a reload. */
export interface TokenStore {
  load(): Grant | null;
  save(grant: Grant | null): void;
  /** Calls back when somebody else (another tab) changed it. */
  watch?(changed: () => void): () => void;
}

/** Forgets with the process; for scripts and tests. */
export class MemoryTokenStore implements TokenStore {
  #grant: Grant | null = null;

  load(): Grant | null {
    return this.#grant;
  }

  save(grant: Grant | null): void {
    this.#grant = grant;
  }
}

/** The browser's local storage, common to all tabs of the origin. */
export class LocalTokenStore implements TokenStore {
  readonly #key: string;

  constructor(key = 'natter.token') {
    this.#key = key;
  }

  load(): Grant | null {
    try {
      const grant = JSON.parse(localStorage.getItem(this.#key) ?? 'null') as Grant | null;
      return typeof grant?.token === 'string' ? grant : null;
    } catch {
      return null; // Storage is forbidden, or holds something else: the same as nobody signed in.
    }
  }

  save(grant: Grant | null): void {
    try {
      if (grant) localStorage.setItem(this.#key, JSON.stringify(grant));
      else localStorage.removeItem(this.#key);
    } catch {
      // Without storage the session lasts as long as the page.
    }
  }

  watch(changed: () => void): () => void {
    const listener = (event: StorageEvent) => {
      if (event.key === this.#key || event.key === null) changed();
    };
    addEventListener('storage', listener);
    return () => removeEventListener('storage', listener);
  }
}

/** Part of a token's life after which it is renewed. */
const RENEW_AT = 0.6;
/** Part of a token's life after which a call renews it first. */
const STALE_AT = 0.9;

/** Milliseconds for a renewal: less than a server waits for a connection to say who it is. */
const RENEWAL_DEADLINE = 5_000;

export class Tokens implements TokenSource {
  #grant: Grant | null;
  #renewal: Promise<string | null> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #backoff = new Backoff(2_000, 30_000);
  readonly #http: Http;
  readonly #store: TokenStore;
  readonly #ended: () => void;
  #unwatch: (() => void) | undefined;

  /** `ended` is called once a session turns out to be over. */
  constructor(http: Http, store: TokenStore, ended: () => void) {
    this.#http = http;
    this.#store = store;
    this.#ended = ended;
    this.#grant = store.load();
  }

  get current(): string | null {
    return this.#grant?.token ?? null;
  }

  /** Begins to renew in time. */
  start(): void {
    this.#unwatch ??= this.#store.watch?.(() => this.#adopt());
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  accept(answer: TokenAnswer): void {
    const issuedAt = Date.now();
    this.#grant = { token: answer.access_token, issuedAt, expiresAt: issuedAt + answer.expires_in * 1_000 };
    this.#store.save(this.#grant);
    this.#backoff.reset();
    this.#schedule();
  }

  /** Forgets the token, here and in the store. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#grant = null;
    this.#store.save(null);
  }

  async fresh(): Promise<string | null> {
    if (!this.#grant) return null;
    if (Date.now() < this.#at(STALE_AT)) return this.#grant.token;
    // An expired token is worth its try: only the server's clock decides.
    return this.renew().catch(() => this.#grant?.token ?? null);
  }

  async replace(refused: string): Promise<string | null> {
    this.#adopt();
    if (this.#grant && this.#grant.token !== refused) return this.#grant.token;
    return this.renew().catch(() => null);
  }

  /** The renewed token; null when the session is over. Throws when the server cannot be asked. */
  renew(): Promise<string | null> {
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  async #renew(): Promise<string | null> {
    const grant = this.#grant;
    if (!grant) return null;
    try {
      this.accept(await this.#refresh(grant.token));
      return this.current;
    } catch (thrown) {
      const error = asNatterError(thrown);
      if (error.status !== 401) throw error;
      if (this.#grant?.token !== grant.token) return this.current;
      this.clear();
      this.#ended();
      return null;
    }
  }

  async #refresh(token: string): Promise<TokenAnswer> {
    return this.#http.bare<TokenAnswer>('POST', '/refresh-token', token, RENEWAL_DEADLINE);
  }

  #at(part: number): number {
    if (!this.#grant) return 0;
    return this.#grant.issuedAt + (this.#grant.expiresAt - this.#grant.issuedAt) * part;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (!this.#grant) return;
    this.#wait(Math.max(0, this.#at(RENEW_AT) - Date.now()));
  }

  #wait(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#adopt();
      // Another tab was faster, the timer a moment early, or the clock was set back: there is more to wait for.
      if (Date.now() < this.#at(RENEW_AT)) return this.#schedule();
      this.renew().catch((error: unknown) => {
        const { retryAfter } = asNatterError(error);
        this.#wait(retryAfter ? retryAfter * 1_000 : this.#backoff.next());
      });
    }, Math.min(milliseconds, 2 ** 31 - 1));
    // A script may end while its token would still live.
    (this.#timer as unknown as { unref?: () => void }).unref?.();
  }

  /** Takes over what another tab stored: its newer token, or the end of the session. */
  #adopt(): void {
    const stored = this.#store.load();
    if (!this.#grant) return;
    if (!stored || subject(stored.token) !== subject(this.#grant.token)) {
      clearTimeout(this.#timer);
      this.#grant = null;
      this.#ended();
    } else if (stored.issuedAt > this.#grant.issuedAt) {
      this.#grant = stored;
      this.#schedule();
    }
  }
}

/** Whose token it is: the claim `sub`, unverified. */
function subject(token: string): string | null {
  try {
    const claims = token.split('.')[1]?.replaceAll('-', '+').replaceAll('_', '/') ?? '';
    return String((JSON.parse(atob(claims)) as { sub: unknown }).sub);
  } catch {
    return null;
  }
}
