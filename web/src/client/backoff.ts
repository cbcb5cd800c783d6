/** Waiting times between attempts: doubling, with jitter so that a thousand clients don't return at once. */
export class Backoff {
  #attempt = 0;
  readonly #first: number;
  readonly #longest: number;

  /** Both in milliseconds. */
  constructor(first = 500, longest = 8_000) {
    this.#first = first;
    this.#longest = longest;
  }

  /** The wait before the next attempt, in milliseconds: between half and all of the doubled step. */
  next(): number {
    const step = Math.min(this.#longest, this.#first * 2 ** this.#attempt);
    this.#attempt += 1;
    return step * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#attempt = 0;
  }
}
