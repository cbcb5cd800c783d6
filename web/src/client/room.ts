/** One room as this client knows it, and how the room's events change it. No input or output here. */
import { Timeline } from './timeline.ts';
import type {
  Epoch,
  Member,
  Message,
  Person,
  Position,
  ReadMarker,
  RemovalReason,
  RoomEntry,
  RoomTail,
  Typing,
} from './types.ts';

/** What a lasting event did: `repeat` and `gap` changed nothing. */
export type Outcome = 'applied' | 'repeat' | 'gap';

/** Why a room is no longer here. */
export type Gone = RemovalReason | 'deleted' | 'unknown';

/** Every field that a room's event may have; which ones it has, its name says. */
export interface RoomEvent {
  chat_room_id: string;
  seq: number;
  message?: Message;
  user?: Person;
  role?: string;
  reason?: RemovalReason;
  name?: string;
  owner?: Person;
  through?: number;
}

export class Room {
  readonly id: string;
  /** The entry in the caller's list; null until it is known. */
  entry: RoomEntry | null = null;
  readonly timeline = new Timeline();
  /** The highest `seq` applied; null before the position is known. */
  seq: number | null = null;
  epoch: Epoch | null = null;
  unread = 0;
  /** The caller's own read marker. */
  readSeq = 0;
  lastMessage: Message | null = null;
  /** Known after the members were loaded, then kept current. */
  members: Map<string, Member> | null = null;
  /** Names of the others who are in the room now; kept while it is opened. */
  online = new Set<string>();
  /** How many are online in a room of more than 100; null otherwise. */
  onlineCount: number | null = null;
  /** Who types, by user id; `until` in milliseconds since 1970. */
  typing = new Map<string, { username: string; until: number }>();
  gone: Gone | null = null;
  /** The tail that a resume is on its way to; null when there is nothing to catch up with. */
  target: number | null = null;

  /** `seq` up to which `unread` is counted. */
  #counted = 0;
  readonly #me: string;

  constructor(id: string, me: string) {
    this.id = id;
    this.#me = me;
  }

  /** Where to resume from; null when there is no position yet. */
  get position(): Position | number | null {
    if (this.seq === null) return null;
    return this.epoch === null ? this.seq : { seq: this.seq, epoch: this.epoch };
  }

  /** Milliseconds since 1970 of what happened last here. */
  get activity(): number {
    return Date.parse(this.lastMessage?.timestamp ?? this.entry?.last_activity ?? '') || 0;
  }

  /** Takes the entry of a list, unless this room is known further already. */
  take(entry: RoomEntry): void {
    this.entry = entry;
    this.epoch ??= entry.epoch;
    if (entry.seq < this.#counted) return;
    this.#counted = entry.seq;
    // A list that was made before the last marker moved counts what has been read since.
    if (entry.read_seq >= this.readSeq) this.unread = entry.unread;
    this.readSeq = Math.max(this.readSeq, entry.read_seq);
    if ((entry.last_message?.seq ?? 0) >= (this.lastMessage?.seq ?? 0)) this.lastMessage = entry.last_message;
  }

  /** Takes the tail that a new connection tells. Only a room without a position adopts it. */
  meet(tail: RoomTail): void {
    if (this.seq === null) {
      this.seq = tail.seq;
      this.epoch = tail.epoch;
    }
    this.target = tail.epoch === this.epoch && tail.seq <= this.seq ? null : tail.seq;
  }

  /** Begins again at a newest page, instead of a replay. */
  restart(position: Position, messages: Message[]): void {
    const sameLog = this.epoch === position.epoch;
    this.seq = position.seq;
    this.epoch = position.epoch;
    this.target = null;
    // Who reads old messages keeps their place; the way down to the end pages over what was missed.
    if (!sameLog || this.timeline.atEnd || !this.timeline.last) this.timeline.around(messages, true);
    this.lastMessage = messages[messages.length - 1] ?? null;
    if (!sameLog) this.#counted = this.readSeq = 0;
  }

  /** Takes the answer to `open_room`. */
  opened(position: Position, messages: Message[], online: string[]): void {
    if (this.seq === null || this.epoch !== position.epoch) this.restart(position, messages);
    else if (this.timeline.atEnd || !this.timeline.last) this.timeline.newest(messages, this.seq);
    this.online = new Set(online);
    this.onlineCount = null;
    const last = messages[messages.length - 1];
    if (last && last.seq > (this.lastMessage?.seq ?? 0)) this.lastMessage = last;
  }

  /** Applies a lasting event, known or not: its number counts in any case. */
  apply(name: string, event: RoomEvent): Outcome {
    if (this.seq === null) this.seq = event.seq - 1;
    if (event.seq <= this.seq) return 'repeat';
    if (event.seq > this.seq + 1) return 'gap';
    this.seq = event.seq;
    if (this.target !== null && this.seq >= this.target) this.target = null;
    this.#change(name, event);
    return 'applied';
  }

  #change(name: string, event: RoomEvent): void {
    switch (name) {
      case 'chat':
        if (event.message) this.#chat(event.message);
        break;
      case 'member_added':
        if (event.user) this.#memberAdded(event.user, event.role ?? 'member', event.seq);
        break;
      case 'member_removed':
        if (event.user?.id === this.#me) this.gone = event.reason ?? 'removed';
        if (event.user) {
          this.members?.delete(event.user.id);
          this.online.delete(event.user.username);
          this.typing.delete(event.user.id);
        }
        break;
      case 'room_updated':
        if (this.entry) {
          this.entry = { ...this.entry, name: event.name ?? this.entry.name, owner: event.owner ?? this.entry.owner };
          if (event.owner) this.#owner(event.owner.id);
        }
        break;
      case 'messages_cleared':
        this.timeline.clear(event.through ?? 0);
        if ((this.lastMessage?.seq ?? 0) <= (event.through ?? 0)) this.lastMessage = null;
        this.unread = this.lastMessage ? this.unread : 0;
        break;
      case 'message_gone':
        this.timeline.remove(event.seq);
        break;
      case 'room_deleted':
        this.gone = 'deleted';
        break;
    }
  }

  #chat(message: Message): void {
    this.timeline.append(message);
    this.lastMessage = message;
    this.typing.delete(message.user_id);
    if (message.seq <= this.#counted) return;
    this.#counted = message.seq;
    if (message.user_id === this.#me) {
      // Who writes has read up to there, on whatever machine; no marker says so.
      this.readSeq = Math.max(this.readSeq, message.seq);
      this.unread = 0;
    } else if (message.seq > this.readSeq) this.unread += 1;
  }

  #memberAdded(user: Person, role: string, seq: number): void {
    this.members?.set(user.id, {
      id: `${this.id}:${user.id}`,
      user,
      role,
      created_at: new Date().toISOString(),
      last_seen: new Date().toISOString(),
      is_online: this.online.has(user.username),
      read_seq: seq,
    });
  }

  #owner(id: string): void {
    if (this.entry) this.entry.role = id === this.#me ? 'owner' : 'member';
    for (const [user, member] of this.members ?? []) {
      this.members?.set(user, { ...member, role: user === id ? 'owner' : 'member' });
    }
  }

  /** Somebody's read marker moved. */
  marked(marker: ReadMarker): void {
    const member = this.members?.get(marker.user_id);
    if (member && member.read_seq < marker.seq) {
      this.members?.set(marker.user_id, { ...member, read_seq: marker.seq });
    }
    if (marker.user_id !== this.#me) return;
    this.readSeq = Math.max(this.readSeq, marker.seq);
    if (typeof marker.unread === 'number') this.unread = marker.unread;
  }

  /** Somebody came (`here`) or went. */
  presence(userId: string, username: string, here: boolean): void {
    if (here) this.online.add(username);
    else {
      this.online.delete(username);
      this.typing.delete(userId);
    }
    const member = this.members?.get(userId);
    if (member && member.is_online !== here) this.members?.set(userId, { ...member, is_online: here });
  }

  typed(signal: Typing, now: number): void {
    if (signal.user_id === this.#me) return;
    if (!signal.is_typing) this.typing.delete(signal.user_id);
    else this.typing.set(signal.user_id, { username: signal.username, until: now + signal.expires_in * 1_000 });
  }

  /** Forgets who stopped typing without saying so. Whether anybody did. */
  expireTyping(now: number): boolean {
    const before = this.typing.size;
    for (const [user, { until }] of this.typing) if (until <= now) this.typing.delete(user);
    return this.typing.size !== before;
  }

  /** The connection went: presence and typing are not known any more. */
  disconnected(): void {
    this.typing.clear();
  }
}
