/**
 * Consumers that found nothing to do and wait a moment for work: telling them is quicker than a ticket through the queue. They
 * are known in memory only; one whose wait dies with the object asks again.
 */
export class Lingering {
  private readonly waiting = new Set<(isWork: boolean) => void>();

  /** True once there is work; false when it has not come within `ms`. */
  wait(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(false), ms);
      const end = (isWork: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(end);
        resolve(isWork);
      };
      this.waiting.add(end);
    });
  }

  /** There is work for so many consumers. Answers how many were waiting for it. */
  call(consumers: number): number {
    let called = 0;
    for (const end of this.waiting) {
      if (called >= consumers) break;
      end(true);
      called += 1;
    }
    return called;
  }
}
