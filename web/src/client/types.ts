/**
 * The shapes on the wire, as docs/PROTOCOL.md gives them. Times are RFC 3339 UTC; ids are opaque.
 */

/** An account as its owner and administrators see it. */
export interface User {
  id: string;
  email: string;
  username: string;
  is_online: boolean;
  is_admin: boolean;
}

/** A person as others see them in a search. */
export interface UserName {
  id: string;
  username: string;
}

/** A person as members of a common room see them. */
export interface Person {
  id: string;
  email: string;
  username: string;
}

/** A conversation: a group, or the private room of two people (its name is both usernames). */
export interface RoomInfo {
  id: string;
  name: string;
  created_at: string;
  is_group: boolean;
  last_activity: string;
  owner: Person;
}

/** A room in the caller's own list. */
export interface RoomEntry extends RoomInfo {
  role: Role;
  /** Messages behind the caller's read marker. */
  unread: number;
  read_seq: number;
  /** The room's tail when this entry was made. */
  seq: number;
  epoch: Epoch;
  last_message: Message | null;
  /** The other person of a private room. */
  peer: UserName | null;
}

export type Role = 'owner' | 'member';

/** Which life of the log a position belongs to. Opaque; it changes when a server is restored from a backup. */
export type Epoch = string | number;

/** The contract calls a membership a "session". */
export interface Membership {
  id: string;
  created_at: string;
  last_seen: string | null;
  user: Person;
  chat_room: RoomInfo;
}

export interface Member {
  id: string;
  user: Person;
  role: Role;
  created_at: string;
  last_seen: string | null;
  is_online: boolean;
  read_seq: number;
}

export interface JoinRequest {
  id: string;
  message: string | null;
  /** `null` until the owner answers. */
  approved: boolean | null;
  created_at: string;
  user: Person;
  chat_room: RoomInfo;
}

export type MessageType = 'text' | 'image' | 'file';

export interface Attachment {
  id: string;
  file_name: string;
  /** Bytes. */
  size: number;
  content_type: string;
  width: number | null;
  height: number | null;
  /** A signed path that an `<img>` can load for as long as a token lives. */
  thumbnail_path: string | null;
}

export interface Message {
  id: string;
  chat_room_id: string;
  user_id: string;
  username: string;
  content: string;
  /** When it was stored. */
  timestamp: string;
  message_type: MessageType;
  file_name: string | null;
  /** A signed path, see {@link Attachment.thumbnail_path}. */
  file_path: string | null;
  /** The position in the room's log: 1, 2, 3 ... without holes, the same for every reader. */
  seq: number;
  /** Counts messages only. */
  ordinal: number;
  client_id: string | null;
  attachment: Attachment | null;
}

/** What an upload answers; `id` goes into `chat` as `attachment_id`. */
export interface Upload {
  id: string;
  file_name: string;
  size: number;
  content_type: string;
}

export interface TokenAnswer {
  access_token: string;
  token_type: string;
  /** Seconds. */
  expires_in: number;
}

export interface Limits {
  max_message_bytes: number;
  max_inline_file_bytes: number;
  max_upload_bytes: number;
  max_packet_bytes: number;
  max_client_id_chars: number;
  page: number;
}

/** A place in a room's log. */
export interface Position {
  seq: number;
  epoch: Epoch;
}

export interface RoomTail extends Position {
  chat_room_id: string;
}

export interface Ready {
  rooms: RoomTail[];
  limits: Limits;
}

export interface ResumeTruncated extends RoomTail {
  messages: Message[];
}

export interface OpenedRoom extends Position {
  messages: Message[];
  online_users: string[];
}

/** What `chat` takes. */
export interface Draft {
  content: string;
  message_type: MessageType;
  client_id?: string;
  attachment_id?: string;
  file_name?: string;
}

export interface ReadMarker {
  chat_room_id: string;
  user_id: string;
  seq: number;
  /** On one's own sockets only. */
  unread?: number;
}

export interface Typing {
  chat_room_id: string;
  user_id: string;
  username: string;
  is_typing: boolean;
  /** Seconds. */
  expires_in: number;
}

export type RemovalReason = 'left' | 'removed' | 'account_deleted';

/** The details that an owner sees of their room. */
export interface RoomDetails {
  chat_room_details: RoomInfo;
  chat_room_join_requests: JoinRequest[];
}

/** The refusal inside an acknowledgement. */
export interface Refusal {
  code: string;
  detail: string;
  retry_after?: number;
}

export type Ack<T> = ({ ok: true } & T) | { ok: false; error: Refusal };
