/** The session socket: connects, connects again, and says what state it is in. */
import { io, type Socket } from 'socket.io-client';
import { Backoff } from './backoff.ts';
import { NatterError } from './errors.ts';
import type { Ack, Position, Ready } from './types.ts';
import type { ClientEventAnswers, ClientEventPayloads } from './wire.ts';

export type ConnectionState =
  | { kind: 'stopped' }
  | { kind: 'connecting' }
  /** Connected, and catching up with what was missed. */
  | { kind: 'resuming' }
  | { kind: 'online' }
  /** `retryAt` in milliseconds since 1970. */
  | { kind: 'offline'; retryAt: number }
  /** It will not come back by itself: signed out, or the session was revoked. */
  | { kind: 'ended'; error: NatterError };

/** What a connection asks of its owner, and tells it. */
export interface Hooks {
  token(): Promise<string | null>;
  /** A newer token than the refused one; null when the session is over. */
  replace(refused: string): Promise<string | null>;
  /** Where to resume, by room. */
  after(): Record<string, Position | number>;
  ready(ready: Ready): void;
  event(name: string, payload: unknown): void;
  down(): void;
  state(state: ConnectionState): void;
}

/** Milliseconds without an answer after which the outcome counts as unknown. */
const ACK_TIMEOUT = 10_000;
/** Milliseconds from the beginning of an attempt to `ready`. */
const CONNECT_TIMEOUT = 12_000;

export class Connection {
  #socket: Socket;
  #state: ConnectionState = { kind: 'stopped' };
  #isReady = false;
  #backoff = new Backoff();
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Whether the next attempt begins with polling, and goes on to a WebSocket if it can. */
  #polls = false;
  /** Whether the present attempt met the server, so that its way of transport is good. */
  #hasMet = false;
  /** Gives an attempt up that leads nowhere. */
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #usedToken = '';
  #refusals = 0;
  readonly #hooks: Hooks;
  readonly #connectTimeout: number;

  /** `url` is the server's origin; empty for the page's own. `connectTimeout` in milliseconds. */
  constructor(url: string, hooks: Hooks, connectTimeout = CONNECT_TIMEOUT) {
    this.#hooks = hooks;
    this.#connectTimeout = connectTimeout;
    const options = {
      autoConnect: false,
      // Its own reconnecting knows neither our refusals nor the token; ours is below.
      reconnection: false,
      auth: (give: (auth: object) => void) => void this.#auth(give),
    };
    this.#socket = url ? io(url, options) : io(options);
    this.#socket.on('connect_error', (error) => void this.#refused(error));
    this.#socket.on('disconnect', (reason) => void this.#disconnected(reason));
    this.#socket.onAny((name: string, payload: unknown) => this.#event(name, payload));
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Whether `ready` came on the present connection, so that sends make sense. */
  get isReady(): boolean {
    return this.#isReady && this.#socket.connected;
  }

  start(): void {
    if (this.#state.kind === 'stopped' || this.#state.kind === 'ended') this.#connect();
  }

  stop(): void {
    this.#drop();
    this.#set({ kind: 'stopped' });
  }

  /** Doesn't wait for the next attempt. For a button, and for the browser's `online` event. */
  retryNow(): void {
    if (this.#state.kind !== 'offline') return;
    this.#backoff.reset();
    this.#connect();
  }

  /** Leaves the connection and resumes on another: the way to mend a gap. */
  renew(): void {
    this.#drop();
    this.#later();
  }

  /** Everything that was missed has come. */
  caughtUp(): void {
    if (this.#state.kind === 'resuming') this.#set({ kind: 'online' });
  }

  /** Sends an event; the fields of its acknowledgement. Throws {@link NatterError}. */
  async request<E extends keyof ClientEventPayloads, T = ClientEventAnswers[E]>(event: E, payload: ClientEventPayloads[E]): Promise<T> {
    if (!this.isReady) throw new NatterError('offline', 'There is no connection.');
    let ack: Ack<T>;
    try {
      ack = (await this.#socket.timeout(ACK_TIMEOUT).emitWithAck(event, payload)) as Ack<T>;
    } catch (cause) {
      if (!this.isReady) throw new NatterError('offline', 'The connection was lost.', { cause });
      throw new NatterError('unknown', 'The server did not answer in time.', { cause });
    }
    if (ack.ok) return ack;
    const { code, detail, retry_after } = ack.error;
    throw new NatterError(code, detail, typeof retry_after === 'number' ? { retryAfter: retry_after } : {});
  }

  async #auth(give: (auth: object) => void): Promise<void> {
    const { engine } = this.#socket.io;
    const token = (await this.#hooks.token().catch(() => null)) ?? '';
    // A token that comes when its connection has gone would greet the server twice on the next one.
    if (engine !== this.#socket.io.engine) return;
    this.#usedToken = token;
    give({ token, after: this.#hooks.after() });
  }

  #connect(): void {
    clearTimeout(this.#retry);
    if (this.#state.kind !== 'offline') this.#set({ kind: 'connecting' });
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.renew(), this.#connectTimeout);
    // Set anew each time: an engine replaces the names by what stands for them.
    this.#socket.io.opts.transports = this.#polls ? ['polling', 'websocket'] : ['websocket'];
    this.#hasMet = false;
    this.#socket.connect();
    const { engine } = this.#socket.io;
    engine.once('upgrade', () => (this.#polls = false));
    // The library takes no notice of a server that goes in the middle of the handshake.
    engine.once('close', () => {
      if (engine === this.#socket.io.engine && this.#socket.io._readyState === 'opening') this.renew();
    });
  }

  #event(name: string, payload: unknown): void {
    if (name !== 'ready') return this.#hooks.event(name, payload);
    clearTimeout(this.#deadline);
    this.#isReady = true;
    this.#hasMet = true;
    this.#refusals = 0;
    this.#backoff.reset();
    this.#set({ kind: 'resuming' });
    this.#hooks.ready(payload as Ready);
  }

  async #refused(thrown: Error): Promise<void> {
    clearTimeout(this.#deadline);
    const [, code, detail] = /^([a-z_]+): (.*)$/s.exec(thrown.message) ?? [];
    if (code) this.#hasMet = true;
    if (code === 'unauthorized') {
      // An expired token is replaced; one that is refused again and again is not.
      this.#refusals += 1;
      const token = this.#refusals > 2 ? null : await this.#hooks.replace(this.#usedToken).catch(() => this.#usedToken);
      if (token === null) return this.#end(new NatterError(code, detail ?? ''));
    } else if (code === 'forbidden' || code === 'not_found') {
      return this.#end(new NatterError(code, detail ?? ''));
    }
    this.#later(code === 'rate_limited' ? 15_000 : 0);
  }

  async #disconnected(reason: string): Promise<void> {
    this.#lost();
    if (reason === 'io client disconnect') return;
    if (reason === 'io server disconnect') {
      // The session was revoked, unless a newer token says otherwise (a password changed in this tab).
      const token = await this.#hooks.replace(this.#usedToken).catch(() => this.#usedToken);
      if (token === null) return this.#end(new NatterError('unauthorized', 'The session was ended.'));
    }
    this.#later();
  }

  #later(atLeast = 0): void {
    if (this.#state.kind === 'stopped' || this.#state.kind === 'ended') return;
    // WebSockets are refused, or swallowed, on the way from here, or the server is away: one tries both ways in turn.
    if (!this.#hasMet) this.#polls = !this.#polls;
    this.#hasMet = true;
    const wait = Math.max(atLeast, this.#backoff.next());
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), wait);
    this.#set({ kind: 'offline', retryAt: Date.now() + wait });
  }

  #end(error: NatterError): void {
    if (this.#state.kind === 'stopped') return;
    this.#drop();
    this.#set({ kind: 'ended', error });
  }

  #drop(): void {
    clearTimeout(this.#retry);
    this.#lost();
    this.#socket.disconnect();
  }

  #lost(): void {
    clearTimeout(this.#deadline);
    if (!this.#isReady) return;
    this.#isReady = false;
    this.#hooks.down();
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.#hooks.state(state);
  }
}

