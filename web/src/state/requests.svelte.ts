/** Requests to join: those to the user, as the owner of rooms, and those of the user. */
import { SvelteMap } from 'svelte/reactivity';
import type { JoinRequest, Room } from '../client/index.ts';
import { t } from '../i18n/index.svelte.ts';
import { router } from './router.svelte.ts';
import { attempt, client } from './session.svelte.ts';
import { store, stored } from './storage.ts';
import { toasts } from './toasts.svelte.ts';

/** Owned rooms whose requests are counted at the start; those of others are read when they are shown. */
const COUNTED_AT_START = 30;

class Requests {
  /** Open requests by room. */
  open = new SvelteMap<string, JoinRequest[]>();
  #asked = new SvelteMap<string, boolean>();

  of(room: string): JoinRequest[] {
    return this.open.get(room) ?? [];
  }

  async load(rooms: Room[]): Promise<void> {
    const owned = rooms.filter((room) => room.entry?.is_group && room.entry.role === 'owner');
    for (const room of owned.slice(0, COUNTED_AT_START)) await this.loadRoom(room.id).catch(() => {});
  }

  async loadRoom(room: string): Promise<void> {
    const { chat_room_join_requests } = await client.api.roomDetails(room);
    this.open.set(room, chat_room_join_requests.filter((request) => request.approved === null));
  }

  arrived(request: JoinRequest): void {
    const room = request.chat_room.id;
    this.open.set(room, [...this.of(room).filter((other) => other.id !== request.id), request]);
    toasts.tell(t('requests.arrived', { name: request.user.username, room: request.chat_room.name }), {
      label: t('requests.review'),
      act: () => router.go(`/rooms/${room}`, { panel: true }),
    });
  }

  handled(request: JoinRequest, me: string): void {
    const room = request.chat_room.id;
    this.open.set(room, this.of(room).filter((other) => other.id !== request.id));
    if (request.user.id !== me) return;
    this.noteAsked(me, room, false);
    const key = request.approved ? 'requests.approved' : 'requests.refused';
    toasts.tell(t(key, { room: request.chat_room.name }));
  }

  /** Answers for the owner. */
  async answer(request: JoinRequest, approve: boolean): Promise<void> {
    const room = request.chat_room.id;
    await attempt(() => client.api.answerJoinRequest(request.id, approve));
    await this.loadRoom(room).catch(() => {});
  }

  /** Whether `me` has asked to come into `room` from this browser, and no answer was heard here. */
  hasAsked(me: string, room: string): boolean {
    const key = askedKey(me, room);
    return this.#asked.get(key) ?? stored(key) !== null;
  }

  noteAsked(me: string, room: string, has: boolean): void {
    const key = askedKey(me, room);
    this.#asked.set(key, has);
    store(key, has ? 'yes' : null);
  }

  clear(): void {
    this.open.clear();
  }
}

const askedKey = (me: string, room: string) => `natter.asked.${me}.${room}`;

export const requests = new Requests();
