/**
 * The shapes on the wire under the names that this library uses. They come from the server's own documents
 * (`wire.ts`, see scripts/types.mjs); what the documents call optional is `null` in the server's answers, never absent.
 */
import type * as wire from './wire.ts';

export type { Limits, UserName } from './wire.ts';

/** An account as its owner and administrators see it. */
export type User = wire.UserView;
/** An account as administrators see it. */
export type Account = wire.AccountView;
/** A person as members of a common room see them. */
export type Person = wire.UserBrief;
/** A conversation: a group, or the private room of two people (its name is both usernames). */
export type RoomInfo = wire.RoomView;
/** The contract calls a membership a "session". */
export type Membership = wire.MembershipView;
export type Member = wire.MemberView;
/** Which life of the log a position belongs to. It changes when a server is restored from a backup. */
export type Epoch = string;
export type MessageType = 'text' | 'image' | 'file';
/** What an upload answers; `id` goes into `chat` as `attachment_id`. */
export type Upload = wire.AttachmentView;
export type TokenAnswer = wire.TokenView;
/** A room's tail. */
export type RoomTail = wire.Position;
/** A place in a room's log. */
export type Position = Omit<wire.Position, 'chat_room_id'>;
export type Ready = wire.Ready;
export type ReadMarker = wire.ReadMarkerSignal;
export type Typing = wire.TypingSignal;

export type Attachment = Required<wire.AttachmentView>;

export interface Message extends Omit<Required<wire.MessageView>, 'attachment'> {
  attachment: Attachment | null;
}

/** A room in the caller's own list. */
export interface RoomEntry extends Omit<Required<wire.RoomEntryView>, 'last_message'> {
  last_message: Message | null;
}

/** `approved` is null until the owner answers. */
export type JoinRequest = Required<wire.JoinRequestView>;

/** What an owner sees of their room. */
export interface RoomDetails extends wire.RoomDetails {
  chat_room_join_requests: JoinRequest[];
}

export interface OpenedRoom extends wire.OpenRoomAnswer {
  messages: Message[];
}

export type ResumeTruncated = wire.Position & { messages: Message[] };

/** What `chat` takes beside the room. */
export interface Draft {
  content: string;
  message_type: MessageType;
  client_id?: string;
  attachment_id?: string;
  file_name?: string;
}

/** Why somebody is no longer in a room. */
export type RemovalReason = 'left' | 'removed' | 'account_deleted';

export type Ack<T> = ({ ok: true } & T) | { ok: false; error: wire.AnswerError };
