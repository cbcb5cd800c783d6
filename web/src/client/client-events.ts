/** What a {@link NatterClient} is made with, and what it tells. */
import type { ConnectionState } from './connection.ts';
import type { Entry, OutboxStore } from './outbox.ts';
import type { Gone, Room } from './room.ts';
import type { TokenStore } from './tokens.ts';
import type { JoinRequest, Message } from './types.ts';

export interface ClientOptions {
  /** The server's origin, `https://chat.example.com`; the page's own by default. */
  url?: string;
  tokens?: TokenStore;
  /** Makes the store of unsent messages of a user. */
  outbox?: (userId: string) => OutboxStore | Promise<OutboxStore>;
}

export interface ClientEvents {
  state: ConnectionState;
  /** The set of rooms changed, or an entry of it: order, unread, name. */
  rooms: void;
  /** Something in this room changed. */
  room: string;
  /** A message, live or replayed, in `seq` order within its room. */
  message: Message;
  /** Too much was missed for a replay: of `(from, to]` only the newest page came; page back for the rest. */
  truncated: { room: string; from: number; to: number };
  gone: { room: Room; reason: Gone };
  outbox: string;
  /** A message of this client was stored. */
  stored: { entry: Entry; message: Message };
  join_request: JoinRequest;
  join_request_handled: JoinRequest;
  /** Nobody is signed in any more. */
  ended: void;
}
