/** Who is signed in, the state of the connection, and the rooms: the client library, made reactive. */
import {
  asNatterError,
  type ConnectionState,
  type Entry,
  LocalOutboxStore,
  LocalTokenStore,
  type Message,
  NatterClient,
  type Room,
  type User,
} from '../client/index.ts';
import { t } from '../i18n/index.svelte.ts';
import { requests } from './requests.svelte.ts';
import { router } from './router.svelte.ts';
import { Ticker } from './ticker.svelte.ts';
import { toasts } from './toasts.svelte.ts';

export const client = new NatterClient({
  tokens: new LocalTokenStore(),
  outbox: (user) => LocalOutboxStore.open(user),
});

/** `unreachable`: signed in as far as we know, but the server has never answered yet. */
export type Phase = 'starting' | 'signed-out' | 'unreachable' | 'ready';

class Session {
  phase = $state<Phase>('starting');
  me = $state.raw<User | null>(null);
  connection = $state.raw<ConnectionState>({ kind: 'stopped' });
  /** The latest message from somebody else, for announcements. */
  heard = $state.raw<Message | null>(null);
  /** Names of those online among the people of private rooms. */
  contacts = $state.raw<ReadonlySet<string>>(new Set());
  #rooms = new Ticker();
  #room = new Map<string, Ticker>();

  constructor() {
    client.on('state', (state) => (this.connection = state));
    client.on('rooms', () => this.#rooms.bump());
    client.on('room', (id) => this.#ticker(id).bump());
    client.on('outbox', (id) => this.#ticker(id).bump());
    client.on('message', (message) => {
      if (message.user_id !== this.me?.id) this.heard = message;
    });
    client.on('ended', () => this.#ended());
    client.on('gone', ({ room, reason }) => {
      requests.noteAsked(this.me?.id ?? '', room.id, false);
      if (reason !== 'left' && room.entry) toasts.tell(t(`gone.${reason}`, { room: roomName(room) }));
      if (router.route.name === 'room' && router.route.room === room.id) router.go('/');
    });
    client.on('join_request', (request) => requests.arrived(request));
    client.on('join_request_handled', (request) => requests.handled(request, this.me?.id ?? ''));
    addEventListener('online', () => client.retryNow());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) client.retryNow();
    });
    addEventListener('beforeunload', (event) => {
      if (client.outbox.holdsFiles) event.preventDefault();
    });
    setInterval(() => void this.#readContacts(), 60_000);
  }

  /** Takes up the session that a page before left, if there is one. */
  async begin(): Promise<void> {
    if (!client.isSignedIn) {
      this.phase = 'signed-out';
      return;
    }
    try {
      await client.start();
      this.me = client.me;
      this.phase = 'ready';
      void this.#readContacts();
      void requests.load(this.rooms());
    } catch (thrown) {
      const error = asNatterError(thrown);
      if (error.code === 'unauthorized') {
        client.tokens.clear();
        this.phase = 'signed-out';
      } else {
        this.phase = 'unreachable';
        setTimeout(() => this.phase === 'unreachable' && void this.begin(), 3_000);
      }
    }
  }

  /** The rooms, latest activity first. */
  rooms(): Room[] {
    this.#rooms.read();
    return client.list();
  }

  /** This room, or undefined when the user is not in it; read again at every change of it. */
  room(id: string): Room | undefined {
    this.#ticker(id).read();
    const room = client.rooms.get(id);
    if (!room) this.#rooms.read();
    return room;
  }

  /** The user's messages on their way to this room. */
  outbox(id: string): readonly Entry[] {
    this.#ticker(id).read();
    return client.outbox.of(id);
  }

  get unread(): number {
    return this.rooms().reduce((sum, room) => sum + room.unread, 0);
  }

  #ticker(id: string): Ticker {
    let ticker = this.#room.get(id);
    if (!ticker) this.#room.set(id, (ticker = new Ticker()));
    return ticker;
  }

  async #readContacts(): Promise<void> {
    if (this.phase !== 'ready' || document.hidden) return;
    this.contacts = new Set(await client.api.onlineContacts().catch(() => [...this.contacts]));
  }

  #ended(): void {
    const wasSignedIn = this.phase === 'ready';
    this.me = null;
    this.phase = 'signed-out';
    requests.clear();
    if (wasSignedIn && !this.isLeaving) toasts.tell(t('session.ended'));
    this.isLeaving = false;
  }

  /** The end of the session that comes is the user's own wish. */
  isLeaving = false;

  logOut(): void {
    this.isLeaving = true;
    client.logOut();
    router.go('/log-in');
  }
}

export const session = new Session();

/** The name to show: of a private room, the other person's. */
export function roomName(room: Room): string {
  return room.entry?.peer?.username ?? room.entry?.name ?? '';
}

/** Runs a call for a button: its failure becomes a toast. Whether it succeeded. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (thrown) {
    toasts.fail(thrown);
    return false;
  }
}
