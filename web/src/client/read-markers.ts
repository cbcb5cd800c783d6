/** Read markers on their way: only the furthest of each room counts, so they are gathered for a moment. */
const GATHER = 400;

export class ReadMarkers {
  #pending = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #send: (room: string, seq: number) => Promise<void>;

  constructor(send: (room: string, seq: number) => Promise<void>) {
    this.#send = send;
  }

  move(room: string, seq: number): void {
    this.#pending.set(room, Math.max(seq, this.#pending.get(room) ?? 0));
    this.#timer ??= setTimeout(() => this.flush(), GATHER);
  }

  /** Sends what waits. What cannot be sent waits for the next call. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [room, seq] of [...this.#pending]) {
      this.#send(room, seq).then(
        () => this.#pending.get(room) === seq && this.#pending.delete(room),
        (error: { isPassing?: boolean }) => error.isPassing || this.#pending.delete(room),
      );
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pending.clear();
  }
}
