/** Pages of a room's messages: around what its timeline holds, or instead of it. */
import type { Api } from './api.ts';
import { NatterError } from './errors.ts';
import type { Room } from './room.ts';
import type { Message } from './types.ts';

const PAGE = 50;
/** The largest page: who reads far back gets there in fewer steps. */
const LARGEST_PAGE = 500;

export class History {
  readonly #api: Api;
  readonly #rooms: ReadonlyMap<string, Room>;
  readonly #changed: (room: string) => void;

  constructor(api: Api, rooms: ReadonlyMap<string, Room>, changed: (room: string) => void) {
    this.#api = api;
    this.#rooms = rooms;
    this.#changed = changed;
  }

  /** The page in front of the first message held. */
  async older(roomId: string): Promise<void> {
    const { timeline } = this.#room(roomId);
    const first = timeline.first;
    if (!first || timeline.atStart) return;
    const limit = Math.min(LARGEST_PAGE, Math.max(PAGE, timeline.messages.length >> 1));
    const page = await this.#api.history(roomId, { before: first.id, limit });
    if (timeline.first?.id === first.id) timeline.older(page);
    this.#changed(roomId);
  }

  /** The page behind the last message held, after a jump into the past. */
  async newer(roomId: string): Promise<void> {
    const room = this.#room(roomId);
    const { timeline } = room;
    const last = timeline.last;
    if (!last || timeline.atEnd) return;
    const page = await this.#api.history(roomId, { after: last.id, limit: PAGE });
    if (timeline.last?.id === last.id) {
      timeline.newer(page, page.length < PAGE && reachesEnd(room, page[page.length - 1] ?? last));
    }
    this.#changed(roomId);
  }

  /** The messages around this one, instead of what is held. Throws `not_found`. */
  async around(roomId: string, messageId: string): Promise<void> {
    const room = this.#room(roomId);
    if (room.timeline.find(messageId)) return;
    const page = await this.#api.history(roomId, { around: messageId, limit: PAGE });
    room.timeline.around(page, reachesEnd(room, page[page.length - 1]));
    this.#changed(roomId);
  }

  /** The newest messages, instead of what is held. */
  async newest(roomId: string): Promise<void> {
    const room = this.#room(roomId);
    if (room.timeline.atEnd) return;
    let page: Message[];
    do page = await this.#api.history(roomId, { limit: PAGE });
    while (!reachesEnd(room, page[page.length - 1]));
    room.timeline.around(page, true);
    this.#changed(roomId);
  }

  /** One message again, for media links that live longer. */
  async refresh(roomId: string, messageId: string): Promise<void> {
    const message = await this.#api.message(roomId, messageId);
    this.#room(roomId).timeline.refresh(message);
    this.#changed(roomId);
  }

  #room(id: string): Room {
    const room = this.#rooms.get(id);
    if (!room) throw new NatterError('not_found', 'You are not in this room.');
    return room;
  }
}

/** Whether nothing of the room is newer than `last`. */
function reachesEnd(room: Room, last: Message | undefined): boolean {
  return (last?.seq ?? 0) >= (room.lastMessage?.seq ?? 0);
}
