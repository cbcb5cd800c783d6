/** What is shown as one message: a stored one, or one on its way. */
import type { Entry, Message, User } from '../client/index.ts';

/** Messages of one person within this many milliseconds stand together. */
const TOGETHER = 5 * 60_000;

export interface Shown {
  /** Stays the same while a message of one's own becomes a stored one. */
  key: string;
  message: Message;
  /** The way it still has to go; null when it is stored. */
  entry: Entry | null;
  isOwn: boolean;
}

export function keyOf(message: Message, me: string): string {
  return message.client_id && message.user_id === me ? `c:${message.client_id}` : message.id;
}

export function storedAs(message: Message, me: string): Shown {
  return { key: keyOf(message, me), message, entry: null, isOwn: message.user_id === me };
}

/** An entry of the outbox in the form of a message. */
export function underWay(entry: Entry, me: User): Shown {
  const message: Message = {
    id: '',
    chat_room_id: entry.chat_room_id,
    user_id: me.id,
    username: me.username,
    content: entry.content,
    timestamp: entry.created_at,
    message_type: entry.message_type,
    file_name: entry.file_name ?? null,
    file_path: null,
    seq: Number.MAX_SAFE_INTEGER,
    ordinal: Number.MAX_SAFE_INTEGER,
    client_id: entry.client_id,
    attachment: null,
  };
  // A copy, for entries change inside: what is shown is compared by identity.
  return { key: `c:${entry.client_id}`, message, entry: { ...entry }, isOwn: true };
}

/** Whether `next` continues what `message` began. */
export function isTogether(message: Message, next: Message): boolean {
  const [a, b] = [new Date(message.timestamp), new Date(next.timestamp)];
  return message.user_id === next.user_id && b.getTime() - a.getTime() < TOGETHER && a.toDateString() === b.toDateString();
}
