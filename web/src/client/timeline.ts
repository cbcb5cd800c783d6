/**
 * The part of a room's messages that this client holds: one stretch without holes, in the order of
 * `seq`. Usually it ends at the newest message and grows upward page by page; after a jump to an
 * old message it lies in the middle of the room until it is paged down to the end again.
 */
import type { Message } from './types.ts';

export class Timeline {
  /** Ordered by `seq`. Read it, don't change it. */
  messages: Message[] = [];
  /** Whether nothing lies before the first message. */
  atStart = false;
  /** Whether nothing lies behind the last message; new ones are appended only then. */
  atEnd = false;
  /** Rises with every change; cheaper to watch than the messages. */
  version = 0;

  get first(): Message | undefined {
    return this.messages[0];
  }

  get last(): Message | undefined {
    return this.messages[this.messages.length - 1];
  }

  /** The index of the first message with at least this `seq`. */
  indexOf(seq: number): number {
    let low = 0;
    let high = this.messages.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.messages[middle]?.seq ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  find(id: string): Message | undefined {
    return this.messages.find((message) => message.id === id);
  }

  /** Adds a message that came live. */
  append(message: Message): void {
    if (!this.atEnd) return;
    const last = this.last;
    if (last && message.seq <= last.seq) return;
    this.messages.push(message);
    this.version += 1;
  }

  /**
   * Takes the newest page, as the server gives it on opening a room. `seen` is the position up to
   * which this timeline, if it is at its end, has everything.
   */
  newest(page: Message[], seen: number): void {
    const adjoins = this.atEnd && (page.length === 0 || (page[0] as Message).seq <= seen + 1);
    if (adjoins && this.messages.length > 0) this.#unite(page);
    else this.#replace(page, page.length === 0 || isFirst(page), true);
  }

  /** Takes the page in front of the first message; an empty one says that there is none. */
  older(page: Message[]): void {
    if (page.length === 0 || isFirst(page)) this.atStart = true;
    this.#unite(page);
  }

  /** Takes the page behind the last message. `complete` when the room has nothing behind it. */
  newer(page: Message[], complete: boolean): void {
    if (complete) this.atEnd = true;
    this.#unite(page);
  }

  /** Takes a page around some message, instead of what is here. */
  around(page: Message[], atEnd: boolean): void {
    this.#replace(page, page.length === 0 || isFirst(page), atEnd);
  }

  /** Puts a newer copy (with fresh media links) in the place of a message. */
  refresh(message: Message): void {
    const index = this.indexOf(message.seq);
    if (this.messages[index]?.id !== message.id) return;
    this.messages[index] = message;
    this.version += 1;
  }

  /** Drops every message up to this `seq`. */
  clear(through: number): void {
    this.messages.splice(0, this.indexOf(through + 1));
    this.atStart = true;
    this.version += 1;
  }

  /** Drops one message. */
  remove(seq: number): void {
    const index = this.indexOf(seq);
    if (this.messages[index]?.seq !== seq) return;
    this.messages.splice(index, 1);
    this.version += 1;
  }

  #replace(page: Message[], atStart: boolean, atEnd: boolean): void {
    this.messages = [...page];
    this.atStart = atStart;
    this.atEnd = atEnd;
    this.version += 1;
  }

  #unite(page: Message[]): void {
    this.version += 1;
    if (page.length === 0) return;
    const [first, last] = [this.first, this.last];
    if (!first || !last) this.messages = [...page];
    else if ((page[page.length - 1] as Message).seq < first.seq) this.messages = [...page, ...this.messages];
    else if ((page[0] as Message).seq > last.seq) this.messages.push(...page);
    else {
      const bySeq = new Map([...this.messages, ...page].map((message) => [message.seq, message]));
      this.messages = [...bySeq.values()].sort((a, b) => a.seq - b.seq);
    }
  }
}

/** The room's very first message has ordinal 1. */
function isFirst(page: Message[]): boolean {
  return page[0]?.ordinal === 1;
}
