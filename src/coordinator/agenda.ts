import { Heap, type Placed } from "./heap.ts";

interface Entry<K> extends Placed {
  key: K;
  at: number;
}

/** What is to be looked at when: one instant (Unix ms) a key. The next one is known at once, whatever else stands here. */
export class Agenda<K> {
  private readonly entries = new Map<K, Entry<K>>();
  private readonly order = new Heap<Entry<K>>((a, b) => a.at < b.at);

  /** Null: never. */
  set(key: K, at: number | null): void {
    if (at === null) {
      this.delete(key);
      return;
    }
    const known = this.entries.get(key);
    if (known === undefined) {
      const entry = { key, at, slot: 0 };
      this.entries.set(key, entry);
      this.order.add(entry);
    } else if (known.at !== at) {
      known.at = at;
      this.order.moved(known);
    }
  }

  has(key: K): boolean {
    return this.entries.has(key);
  }

  delete(key: K): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    this.order.remove(entry);
  }

  next(): number | null {
    return this.order.first()?.at ?? null;
  }

  /** Takes out what is due, earliest first. */
  *due(now: number): Generator<K> {
    for (let entry = this.order.first(); entry !== undefined && entry.at <= now; entry = this.order.first()) {
      this.delete(entry.key);
      yield entry.key;
    }
  }
}
