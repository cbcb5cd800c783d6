/**
 * The whole client: signs in, keeps every room of the user in sync over one session socket, and
 * sends so that nothing is lost and nothing doubled. Draws nothing; listen to its events for that.
 */
import { Api } from './api.ts';
import type { ClientEvents, ClientOptions } from './client-events.ts';
import { Connection, type ConnectionState } from './connection.ts';
import { Emitter } from './emitter.ts';
import { History } from './history.ts';
import { Http } from './http.ts';
import { type Entry, MemoryOutboxStore, Outbox, type OutboxStore } from './outbox.ts';
import { ReadMarkers } from './read-markers.ts';
import { type Gone, Room, type RoomEvent } from './room.ts';
import { MemoryTokenStore, Tokens } from './tokens.ts';
import type {
  JoinRequest,
  Limits,
  Message,
  OpenedRoom,
  Position,
  ReadMarker,
  Ready,
  ResumeTruncated,
  Typing,
  User,
} from './types.ts';
import { upload } from './upload.ts';

/** Rooms kept open at once; the one opened longest ago is closed then. */
const MOST_OPEN = 8;

export class NatterClient extends Emitter<ClientEvents> {
  readonly api: Api;
  readonly tokens: Tokens;
  /** By room id. Read it, don't change it. */
  readonly rooms = new Map<string, Room>();
  me: User | null = null;
  limits: Limits | null = null;
  /** Whether the list of rooms has come. */
  isLoaded = false;
  outbox: Outbox;
  /** Older and newer pages of the rooms' messages. */
  readonly history: History;

  readonly #http: Http;
  readonly #connection: Connection;
  readonly #outboxOf: NonNullable<ClientOptions['outbox']>;
  readonly #markers: ReadMarkers;
  #outboxOwner: string | null = null;
  /** Opened rooms, the latest last. */
  #open = new Set<string>();
  #typed = new Map<string, number>();
  /** Rooms that went, in the order in which they did. */
  #removed: string[] = [];
  #typingTimer: ReturnType<typeof setInterval> | undefined;
  /** Whether this connection is being left because of a gap. */
  #isMending = false;

  constructor(options: ClientOptions = {}) {
    super();
    this.#http = new Http(options.url ?? '');
    this.api = new Api(this.#http);
    this.tokens = new Tokens(this.#http, options.tokens ?? new MemoryTokenStore(), () => this.#ended());
    this.#http.useTokens(this.tokens);
    this.history = new History(this.api, this.rooms, (room) => this.emit('room', room));
    this.#connection = new Connection(options.url ?? '', {
      token: () => this.tokens.fresh(),
      replace: (refused) => this.tokens.replace(refused),
      after: () => this.#positions(),
      ready: (ready) => this.#ready(ready),
      event: (name, payload) => this.#event(name, payload),
      down: () => this.#down(),
      state: (state) => {
        this.emit('state', state);
        if (state.kind === 'ended') this.#ended();
      },
    });
    this.#outboxOf = options.outbox ?? (() => new MemoryOutboxStore());
    this.outbox = this.#newOutbox(new MemoryOutboxStore());
    this.#markers = new ReadMarkers((room, seq) => this.#sendMarker(room, seq));
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  get isSignedIn(): boolean {
    return this.tokens.current !== null;
  }

  // Accounts

  async logIn(username: string, password: string): Promise<void> {
    this.tokens.accept(await this.api.token(username, password));
  }

  /** Makes an account and signs in to it. */
  async signUp(email: string, username: string, password: string): Promise<void> {
    await this.api.signUp(email, username, password);
    await this.logIn(username, password);
  }

  /** Forgets the session on this machine; see also `api.logOutEverywhere`. */
  logOut(): void {
    this.tokens.clear();
    this.#ended();
  }

  async changePassword(current: string, next: string): Promise<void> {
    this.tokens.accept(await this.api.changePassword(current, next));
  }

  /** Connects, and stays connected until {@link stop}. Throws `unauthorized` when nobody is signed in. */
  async start(): Promise<void> {
    this.tokens.start();
    const me = await this.api.me();
    // Who signs in again goes on with what they had; what another one left waits in their store.
    if (this.#outboxOwner !== me.id) this.outbox = this.#newOutbox(await this.#outboxOf(me.id));
    this.#outboxOwner = me.id;
    this.me = me;
    this.#typingTimer ??= setInterval(() => this.#expireTyping(), 1_000);
    (this.#typingTimer as unknown as { unref?: () => void }).unref?.();
    const loaded = this.refresh();
    this.#connection.start();
    await loaded;
  }

  /** Disconnects; what waits in the outbox stays there. */
  stop(): void {
    clearInterval(this.#typingTimer);
    this.#typingTimer = undefined;
    this.#markers.stop();
    this.tokens.stop();
    this.#connection.stop();
  }

  retryNow(): void {
    this.#connection.retryNow();
  }

  // Rooms

  /** Reads the list of rooms again. */
  async refresh(): Promise<void> {
    const removedBefore = this.#removed.length;
    const lists = await Promise.all([this.api.rooms(true), this.api.rooms(false)]);
    // A room that went meanwhile may still be in the list: it must not come back as a ghost.
    const removed = new Set(this.#removed.slice(removedBefore));
    this.isLoaded = true;
    for (const entry of lists.flat()) {
      if (removed.has(entry.id)) continue;
      this.#room(entry.id).take(entry);
      this.emit('room', entry.id);
    }
    this.emit('rooms', undefined);
  }

  /** The rooms, latest activity first. */
  list(): Room[] {
    return [...this.rooms.values()].filter((room) => room.entry).sort((a, b) => b.activity - a.activity);
  }

  /** Creates a group room; its id. */
  async createRoom(name: string): Promise<string> {
    const { chat_room } = await this.api.createRoom(name);
    await this.refresh();
    return chat_room.id;
  }

  /** The private room with this person; its id. */
  async privateRoom(userId: string): Promise<string> {
    const { chat_room } = await this.api.privateRoom(userId);
    if (!this.rooms.get(chat_room.id)?.entry) await this.refresh();
    return chat_room.id;
  }

  /** Makes the user present in the room and fills its timeline, now and after every reconnect. */
  async open(roomId: string): Promise<void> {
    this.#open.delete(roomId);
    this.#open.add(roomId);
    for (const other of this.#open) {
      if (this.#open.size <= MOST_OPEN) break;
      this.close(other);
    }
    if (this.#connection.isReady) await this.#openNow(roomId);
  }

  close(roomId: string): void {
    if (!this.#open.delete(roomId)) return;
    this.#connection.request('close_room', { chat_room_id: roomId }).catch(() => {});
  }

  async loadMembers(roomId: string): Promise<void> {
    const members = await this.api.members(roomId);
    const room = this.rooms.get(roomId);
    if (!room) return;
    room.members = new Map(members.map((member) => [member.user.id, member]));
    this.emit('room', roomId);
  }

  // Messages

  /** Puts a message into the outbox. It is sent in order, again if needed, and stored once. */
  send(roomId: string, draft: { content: string; file?: File }): Entry {
    const { content, file } = draft;
    const message_type = !file ? 'text' : /^image\/(png|jpeg|gif|webp)$/.test(file.type) ? 'image' : 'file';
    this.#typed.delete(roomId);
    return this.outbox.add(roomId, { content, message_type, ...(file ? { file } : {}) });
  }

  /** Moves the user's read marker, on all of their clients. */
  markRead(roomId: string, seq: number): void {
    const room = this.rooms.get(roomId);
    if (!room || seq <= room.readSeq) return;
    room.readSeq = seq;
    if (seq >= (room.lastMessage?.seq ?? 0)) room.unread = 0;
    this.#markers.move(roomId, seq);
    this.emit('room', roomId);
    this.emit('rooms', undefined);
  }

  /** Tells the others that the user types; call it at every keystroke. */
  typing(roomId: string, isTyping = true): void {
    const told = this.#typed.get(roomId) ?? 0;
    if (isTyping ? Date.now() - told < 3_000 : told === 0) return;
    if (isTyping) this.#typed.set(roomId, Date.now());
    else this.#typed.delete(roomId);
    this.#connection.request('typing', { chat_room_id: roomId, is_typing: isTyping }).catch(() => {});
  }

  // What the connection tells

  #positions(): Record<string, Position | number> {
    const after: Record<string, Position | number> = {};
    for (const room of this.rooms.values()) {
      const position = room.position;
      if (position !== null) after[room.id] = position;
    }
    return after;
  }

  #ready(ready: Ready): void {
    this.#isMending = false;
    this.limits = ready.limits;
    const told = new Set(ready.rooms.map((tail) => tail.chat_room_id));
    for (const room of [...this.rooms.values()]) {
      if (room.position !== null && !told.has(room.id)) this.#remove(room, 'unknown');
    }
    for (const tail of ready.rooms) this.#room(tail.chat_room_id).meet(tail);
    for (const roomId of this.#open) this.#openNow(roomId).catch(() => {});
    this.outbox.flush();
    this.#markers.flush();
    this.#caughtUp();
    if (this.isLoaded || this.#isIncomplete()) this.#refreshSoon();
  }

  #event(name: string, payload: unknown): void {
    switch (name) {
      case 'join_request':
      case 'join_request_handled':
        this.emit(name, payload as JoinRequest);
        return;
      case 'resume_truncated':
        return this.#truncated(payload as ResumeTruncated);
    }
    if (typeof payload !== 'object' || payload === null) return;
    const event = payload as RoomEvent;
    const seq = event.seq ?? event.message?.seq;
    const roomId = event.chat_room_id ?? event.message?.chat_room_id;
    if (typeof roomId !== 'string') return;
    // A read marker has a `seq` as well, but it is a place in the log, not an entry of it.
    if (name === 'read_marker' || seq === undefined) this.#signal(name, roomId, payload);
    else this.#lasting(name, { ...event, chat_room_id: roomId, seq });
  }

  #lasting(name: string, event: RoomEvent): void {
    const isNew = !this.rooms.has(event.chat_room_id);
    const room = this.#room(event.chat_room_id);
    const outcome = room.apply(name, event);
    if (outcome === 'gap') return this.#mend();
    if (outcome === 'repeat') return;
    if (event.message) {
      this.outbox.seen(event.message);
      this.emit('message', event.message);
    }
    if (room.gone) return this.#remove(room, room.gone);
    if (isNew || !room.entry) this.#refreshSoon();
    this.#caughtUp();
    this.emit('room', room.id);
    this.emit('rooms', undefined);
  }

  #signal(name: string, roomId: string, payload: unknown): void {
    const room = this.rooms.get(roomId);
    if (!room) return;
    const person = payload as { user_id: string; username: string; online: number };
    switch (name) {
      case 'join':
      case 'leave':
        if (person.user_id !== this.me?.id) room.presence(person.user_id, person.username, name === 'join');
        break;
      case 'presence_count':
        room.onlineCount = person.online;
        break;
      case 'typing':
        room.typed(payload as Typing, Date.now());
        break;
      case 'read_marker':
        room.marked(payload as ReadMarker);
        this.emit('rooms', undefined);
        break;
      default:
        return;
    }
    this.emit('room', roomId);
  }

  #truncated(newest: ResumeTruncated): void {
    const room = this.#room(newest.chat_room_id);
    this.emit('truncated', { room: room.id, from: room.epoch === newest.epoch ? (room.seq ?? 0) : 0, to: newest.seq });
    room.restart(newest, newest.messages);
    for (const message of newest.messages) this.outbox.seen(message);
    this.#caughtUp();
    this.emit('room', room.id);
    this.emit('rooms', undefined);
  }

  #down(): void {
    for (const room of this.rooms.values()) room.disconnected();
    for (const roomId of this.#open) this.emit('room', roomId);
  }

  /** A hole in a room's numbers: another connection replays what is missing. */
  #mend(): void {
    if (this.#isMending) return;
    this.#isMending = true;
    // Not from within the event that showed it: its packet is still being taken in.
    queueMicrotask(() => this.#connection.renew());
  }

  #caughtUp(): void {
    if (this.#connection.state.kind !== 'resuming') return;
    for (const room of this.rooms.values()) if (room.target !== null) return;
    this.#connection.caughtUp();
  }

  async #openNow(chat_room_id: string): Promise<void> {
    const opened = (await this.#connection.request('open_room', { chat_room_id })) as OpenedRoom;
    const room = this.rooms.get(chat_room_id);
    if (!room) return;
    room.opened(opened, opened.messages, opened.online_users);
    this.emit('room', chat_room_id);
    if (room.members) await this.loadMembers(chat_room_id);
  }

  async #sendMarker(chat_room_id: string, seq: number): Promise<void> {
    const marker = await this.#connection.request('mark_read', { chat_room_id, seq });
    const room = this.rooms.get(chat_room_id);
    if (!room || !this.me || marker.seq < room.readSeq) return;
    room.marked({ chat_room_id, user_id: this.me.id, seq: marker.seq, unread: marker.unread ?? null });
    this.emit('rooms', undefined);
  }

  #refreshTimer: ReturnType<typeof setTimeout> | undefined;

  /** Reads the list again, once for all that happens in the next moment. */
  #refreshSoon(): void {
    clearTimeout(this.#refreshTimer);
    this.#refreshTimer = setTimeout(() => {
      if (this.isSignedIn) this.refresh().catch(() => {});
    }, 100);
  }

  #isIncomplete(): boolean {
    return [...this.rooms.values()].some((room) => !room.entry);
  }

  #expireTyping(): void {
    const now = Date.now();
    for (const room of this.rooms.values()) {
      if (room.typing.size > 0 && room.expireTyping(now)) this.emit('room', room.id);
    }
  }

  #room(id: string): Room {
    let room = this.rooms.get(id);
    if (!room) this.rooms.set(id, (room = new Room(id, this.me?.id ?? '')));
    return room;
  }

  #remove(room: Room, reason: Gone): void {
    room.gone = reason;
    this.#removed.push(room.id);
    this.rooms.delete(room.id);
    this.#open.delete(room.id);
    this.outbox.drop(room.id);
    this.#caughtUp();
    this.emit('gone', { room, reason });
    this.emit('room', room.id);
    this.emit('rooms', undefined);
  }

  #newOutbox(store: OutboxStore): Outbox {
    const outbox: Outbox = new Outbox(
      {
        ready: () => this.outbox === outbox && this.#connection.isReady,
        send: async (chat_room_id, draft) => {
          const { message } = await this.#connection.request('chat', { chat_room_id, ...draft });
          return message as Message;
        },
        upload: async (room, file, onProgress, signal) => {
          const stored = await upload(this.#http, room, file, { onProgress, signal });
          return stored.id;
        },
      },
      store,
    );
    outbox.on('change', (room) => this.emit('outbox', room));
    outbox.on('stored', (stored) => this.emit('stored', stored));
    return outbox;
  }

  #ended(): void {
    if (!this.me) return;
    this.stop();
    this.me = null;
    this.isLoaded = false;
    this.rooms.clear();
    this.#open.clear();
    this.emit('ended', undefined);
  }
}
