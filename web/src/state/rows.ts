/** Heights of the rows of a virtual list: measured where a row was shown, estimated elsewhere. */
export class Rows {
  keys: string[] = [];
  /** Pixels; 0 where not measured. */
  #sizes: number[] = [];
  /** `#offsets[i]` is where row i begins; one more than rows. Valid below `#clean`. */
  #offsets: Float64Array = new Float64Array(1);
  #clean = 1;
  readonly #estimate: number;

  constructor(estimate = 60) {
    this.#estimate = estimate;
  }

  /** Takes new rows; those that stay, wherever they are now, keep their heights. */
  set(keys: string[]): void {
    const old = this.keys;
    let head = 0;
    while (head < old.length && head < keys.length && old[head] === keys[head]) head += 1;
    let tail = 0;
    const most = Math.min(old.length, keys.length) - head;
    while (tail < most && old[old.length - 1 - tail] === keys[keys.length - 1 - tail]) tail += 1;
    if (head === old.length && head === keys.length) return;
    const moved = new Map<string, number>();
    for (let i = head; i < old.length - tail; i += 1) moved.set(old[i] as string, this.#sizes[i] ?? 0);
    const middle = keys.slice(head, keys.length - tail).map((key) => moved.get(key) ?? 0);
    this.#sizes = [...this.#sizes.slice(0, head), ...middle, ...this.#sizes.slice(old.length - tail)];
    this.keys = keys;
    const offsets = new Float64Array(keys.length + 1);
    offsets.set(this.#offsets.subarray(0, Math.min(this.#clean, head + 1)));
    this.#offsets = offsets;
    this.#clean = Math.max(1, Math.min(this.#clean, head + 1));
  }

  /** Notes a row's height. Whether it changed. */
  measure(index: number, size: number): boolean {
    if (index < 0 || index >= this.keys.length || this.#sizes[index] === size) return false;
    this.#sizes[index] = size;
    this.#clean = Math.min(this.#clean, index + 1);
    return true;
  }

  /** Where row `index` begins; `offset(count)` is the height of all. */
  offset(index: number): number {
    const last = Math.min(index, this.keys.length);
    for (; this.#clean <= last; this.#clean += 1) {
      const size = this.#sizes[this.#clean - 1] || this.#estimate;
      this.#offsets[this.#clean] = (this.#offsets[this.#clean - 1] as number) + size;
    }
    return this.#offsets[last] as number;
  }

  get total(): number {
    return this.offset(this.keys.length);
  }

  /** The row at this height; the nearest one outside. */
  at(y: number): number {
    let low = 0;
    let high = Math.max(0, this.keys.length - 1);
    this.offset(this.keys.length);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#offsets[middle] as number) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
