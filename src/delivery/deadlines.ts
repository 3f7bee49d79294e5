interface Watch {
  at: number;
  expired(): void;
}

/**
 * The deadlines of an invocation's calls behind a single timer: thousands of calls begin and end in a second, and hardly
 * one runs into its deadline. The timer belongs to the invocation that made it, so this is never shared between two.
 */
export class Deadlines {
  readonly #watches = new Set<Watch>();
  #timer: { at: number; id: ReturnType<typeof setTimeout> } | null = null;

  /** Calls back after so many milliseconds, unless the answer is called before. */
  watch(ms: number, expired: () => void): () => void {
    const watch: Watch = { at: Date.now() + ms, expired };
    this.#watches.add(watch);
    this.#wakeAt(watch.at);
    return () => this.#watches.delete(watch);
  }

  #wakeAt(at: number): void {
    // A timer that stands earlier looks around and sets itself anew.
    if (this.#timer && this.#timer.at <= at) return;
    if (this.#timer) clearTimeout(this.#timer.id);
    this.#timer = { at, id: setTimeout(() => this.#look(), Math.max(0, at - Date.now())) };
  }

  #look(): void {
    this.#timer = null;
    const now = Date.now();
    let next = Number.POSITIVE_INFINITY;
    for (const watch of this.#watches) {
      if (watch.at > now) next = Math.min(next, watch.at);
      else {
        this.#watches.delete(watch);
        watch.expired();
      }
    }
    if (next < Number.POSITIVE_INFINITY) this.#wakeAt(next);
  }
}
