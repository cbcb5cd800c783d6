/** A number that rises at most once a frame, however often something changed. */
export class Ticker {
  #count = $state(0);
  #isQueued = false;

  /** Makes the reading effect or derivation depend on the next change. */
  read(): number {
    return this.#count;
  }

  /** Something changed: readers hear of it with the next frame. */
  bump(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    const tick = () => {
      this.#isQueued = false;
      this.#count += 1;
    };
    // A hidden page gets no frames, but its title shall still count.
    if (document.hidden) setTimeout(tick, 100);
    else requestAnimationFrame(tick);
  }
}
