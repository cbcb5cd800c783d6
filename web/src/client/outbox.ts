/**
 * Messages on their way to the server. Each keeps its `client_id` until it is stored, so sending it
 * again after a lost answer, a restart of the server or a reload of the page stores it once.
 */
import { Backoff } from './backoff.ts';
import { Emitter } from './emitter.ts';
import { asNatterError, NatterError } from './errors.ts';
import type { Draft, Message, MessageType } from './types.ts';

/** `uploading`: the file is on its way. `failed`: refused for good, or given up; see `error`. */
export type EntryState = 'uploading' | 'pending' | 'sending' | 'failed';

export interface Entry {
  client_id: string;
  chat_room_id: string;
  content: string;
  message_type: MessageType;
  attachment_id?: string;
  file_name?: string;
  /** Bytes of the file. */
  size?: number;
  created_at: string;
  state: EntryState;
  error?: { code: string; detail: string };
  /** The file itself: it does not survive a reload, its upload does. */
  file?: File;
  /** 0 to 1, while uploading. */
  progress?: number;
}

/** Where entries survive a reload. Called at every change. */
export interface OutboxStore {
  load(): Entry[];
  save(entries: Entry[]): void;
}

export class MemoryOutboxStore implements OutboxStore {
  load(): Entry[] {
    return [];
  }

  save(): void {}
}

/** How an entry reaches the server. */
export interface Courier {
  /** Whether a send can be tried now. */
  ready(): boolean;
  /** The stored message; throws {@link NatterError}. */
  send(room: string, draft: Draft & { client_id: string }): Promise<Message>;
  /** The id of the stored attachment. */
  upload(room: string, file: File, onProgress: (part: number) => void, signal: AbortSignal): Promise<string>;
}

export interface OutboxEvents {
  /** Something changed in this room's entries. */
  change: string;
  stored: { entry: Entry; message: Message };
}

/** Sends of one room under way at once. The server keeps their order, in refusals too. */
const WINDOW = 8;
/** Refusals "for now" after which an entry fails visibly. Waiting for a connection counts for nothing. */
const PATIENCE = 6;
/** Tries of an upload while there is a connection, after which it fails visibly. */
const UPLOAD_TRIES = 3;

interface Lane {
  entries: Entry[];
  inFlight: number;
  /** Set after a refusal for now: nothing goes out before the answers to all that did. */
  held: boolean;
  refusals: number;
  backoff: Backoff;
}

export class Outbox extends Emitter<OutboxEvents> {
  #lanes = new Map<string, Lane>();
  #uploads = new Map<string, AbortController>();
  #isSaving = false;
  readonly #courier: Courier;
  readonly #store: OutboxStore;

  constructor(courier: Courier, store: OutboxStore) {
    super();
    this.#courier = courier;
    this.#store = store;
    for (const entry of store.load()) {
      this.#lane(entry.chat_room_id).entries.push({ ...entry, state: entry.state === 'failed' ? 'failed' : 'pending' });
    }
  }

  /** The entries of a room, oldest first. */
  of(room: string): readonly Entry[] {
    return this.#lanes.get(room)?.entries ?? [];
  }

  get size(): number {
    let size = 0;
    for (const lane of this.#lanes.values()) size += lane.entries.length;
    return size;
  }

  /** Whether leaving now would lose a file: one that is not uploaded yet. */
  get holdsFiles(): boolean {
    return [...this.#lanes.values()].some((lane) => lane.entries.some((entry) => entry.file && !entry.attachment_id));
  }

  add(room: string, draft: Omit<Draft, 'client_id'> & { file?: File }): Entry {
    const { file, ...rest } = draft;
    const entry: Entry = {
      ...rest,
      client_id: newId(),
      chat_room_id: room,
      created_at: new Date().toISOString(),
      state: file ? 'uploading' : 'pending',
      ...(file ? { file, file_name: file.name, size: file.size, progress: 0 } : {}),
    };
    this.#lane(room).entries.push(entry);
    this.#changed(room);
    if (file) this.#beginUpload(entry, file);
    else this.#pump(room);
    return entry;
  }

  /** Tries a failed entry again, under the same `client_id`. */
  retry(clientId: string): void {
    const entry = this.#find(clientId);
    if (entry?.state !== 'failed') return;
    const lane = this.#lane(entry.chat_room_id);
    lane.refusals = 0;
    if (entry.file && !entry.attachment_id) {
      this.#set(entry, 'uploading');
      this.#beginUpload(entry, entry.file);
    } else {
      this.#set(entry, 'pending');
      this.#pump(entry.chat_room_id);
    }
  }

  /** Drops an entry, and cancels its upload. One that is being sent may arrive all the same. */
  discard(clientId: string): void {
    const entry = this.#find(clientId);
    if (!entry) return;
    this.#uploads.get(clientId)?.abort();
    this.#remove(entry);
  }

  /** Drops what waits for a room that is gone. */
  drop(room: string): void {
    for (const entry of this.of(room)) this.#uploads.get(entry.client_id)?.abort();
    if (this.#lanes.delete(room)) this.#changed(room);
  }

  /** The message with this `client_id` was seen in the room: it is stored, whatever the answer says. */
  seen(message: Message): void {
    const entry = message.client_id ? this.#find(message.client_id) : undefined;
    if (entry) this.#remove(entry);
  }

  /** A connection is there: sends everything that waits. */
  flush(): void {
    for (const [room, lane] of this.#lanes) {
      if (lane.held) this.#release(room, lane);
      else this.#pump(room);
      for (const entry of lane.entries) {
        if (entry.state === 'uploading' && entry.file && !this.#uploads.has(entry.client_id)) this.#beginUpload(entry, entry.file);
      }
    }
  }

  #pump(room: string): void {
    const lane = this.#lane(room);
    for (const entry of lane.entries) {
      if (lane.held || lane.inFlight >= WINDOW || !this.#courier.ready()) return;
      if (entry.state === 'pending') void this.#send(lane, entry);
    }
  }

  async #send(lane: Lane, entry: Entry): Promise<void> {
    const room = entry.chat_room_id;
    lane.inFlight += 1;
    this.#set(entry, 'sending');
    try {
      const message = await this.#courier.send(room, draftOf(entry));
      lane.refusals = 0;
      lane.backoff.reset();
      this.#remove(entry);
      this.emit('stored', { entry, message });
    } catch (thrown) {
      this.#refused(lane, entry, asNatterError(thrown));
    } finally {
      lane.inFlight -= 1;
    }
    if (!lane.held) this.#pump(room);
  }

  #refused(lane: Lane, entry: Entry, error: NatterError): void {
    if (!this.#find(entry.client_id)) return;
    if (!error.isPassing) return this.#fail(entry, error);
    this.#set(entry, 'pending');
    if (error.code === 'offline') {
      lane.held = true; // Until `flush`, which comes with the next connection.
      return;
    }
    if (lane.held) return; // The first refusal of this round has set the timer.
    lane.refusals += 1;
    if (lane.refusals > PATIENCE) {
      lane.refusals = 0;
      return this.#fail(entry, error);
    }
    lane.held = true;
    const wait = error.retryAfter === undefined ? lane.backoff.next() : error.retryAfter * 1_000;
    setTimeout(() => this.#release(entry.chat_room_id, lane), wait);
  }

  #release(room: string, lane: Lane): void {
    if (lane.inFlight > 0) {
      setTimeout(() => this.#release(room, lane), 50);
      return;
    }
    lane.held = false;
    this.#pump(room);
  }

  /** Uploads now, or with the next connection if there is none. */
  #beginUpload(entry: Entry, file: File): void {
    if (this.#courier.ready()) void this.#upload(entry, file, new Backoff(300, 10_000));
  }

  async #upload(entry: Entry, file: File, backoff: Backoff, tries = 1): Promise<void> {
    const abort = new AbortController();
    this.#uploads.set(entry.client_id, abort);
    try {
      entry.attachment_id = await this.#courier.upload(
        entry.chat_room_id,
        file,
        (part) => {
          entry.progress = part;
          this.emit('change', entry.chat_room_id);
        },
        abort.signal,
      );
      this.#uploads.delete(entry.client_id);
      if (!this.#find(entry.client_id)) return;
      this.#set(entry, 'pending');
      this.#pump(entry.chat_room_id);
    } catch (thrown) {
      const error = asNatterError(thrown);
      if (error.isPassing && tries < UPLOAD_TRIES && this.#find(entry.client_id)) {
        // A server that went says so here before the socket has noticed.
        entry.progress = 0;
        this.emit('change', entry.chat_room_id);
        setTimeout(() => this.#uploadAgain(entry, file, backoff, tries), backoff.next());
        return;
      }
      this.#uploads.delete(entry.client_id);
      if (this.#find(entry.client_id)) this.#fail(entry, error);
    }
  }

  /** Another try of an upload; without a connection it waits for the next, and counts from the beginning. */
  #uploadAgain(entry: Entry, file: File, backoff: Backoff, tries: number): void {
    this.#uploads.delete(entry.client_id);
    if (entry.state !== 'uploading' || !this.#find(entry.client_id)) return;
    if (this.#courier.ready()) void this.#upload(entry, file, backoff, tries + 1);
  }

  #fail(entry: Entry, { code, message }: NatterError): void {
    entry.error = { code, detail: message };
    this.#set(entry, 'failed');
  }

  #set(entry: Entry, state: EntryState): void {
    entry.state = state;
    if (state !== 'failed') delete entry.error;
    this.#changed(entry.chat_room_id);
  }

  #remove(entry: Entry): void {
    const lane = this.#lane(entry.chat_room_id);
    const before = lane.entries.length;
    lane.entries = lane.entries.filter((other) => other.client_id !== entry.client_id);
    if (lane.entries.length !== before) this.#changed(entry.chat_room_id);
  }

  #find(clientId: string): Entry | undefined {
    for (const lane of this.#lanes.values()) {
      const entry = lane.entries.find((other) => other.client_id === clientId);
      if (entry) return entry;
    }
    return undefined;
  }

  #lane(room: string): Lane {
    let lane = this.#lanes.get(room);
    if (!lane) {
      lane = { entries: [], inFlight: 0, held: false, refusals: 0, backoff: new Backoff(300, 10_000) };
      this.#lanes.set(room, lane);
    }
    return lane;
  }

  #changed(room: string): void {
    this.emit('change', room);
    if (this.#isSaving) return;
    // Once for all that changes in one go.
    this.#isSaving = true;
    queueMicrotask(() => {
      this.#isSaving = false;
      this.#save();
    });
  }

  #save(): void {
    const kept: Entry[] = [];
    for (const lane of this.#lanes.values()) {
      for (const { file, progress: _, ...entry } of lane.entries) {
        if (!file || entry.attachment_id) kept.push(entry);
      }
    }
    this.#store.save(kept);
  }
}

function draftOf(entry: Entry): Draft & { client_id: string } {
  return {
    content: entry.content,
    message_type: entry.message_type,
    client_id: entry.client_id,
    ...(entry.attachment_id ? { attachment_id: entry.attachment_id } : {}),
    ...(entry.file_name ? { file_name: entry.file_name } : {}),
  };
}

/** 128 random bits in hex: `randomUUID` is missing where the page does not come over https. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
