/** An element knows where it stands, so that it can be moved or taken out without a search. It stands in one heap at most. */
export interface Placed {
  slot: number;
}

/** A binary heap: the first is known at once; adding, moving and taking out cost O(log n). */
export class Heap<T extends Placed> {
  private readonly elements: T[];
  private readonly goesBefore: (a: T, b: T) => boolean;

  constructor(goesBefore: (a: T, b: T) => boolean, ...initial: [] | [T]) {
    this.goesBefore = goesBefore;
    this.elements = initial;
    if (initial[0] !== undefined) initial[0].slot = 0;
  }

  get size(): number {
    return this.elements.length;
  }

  first(): T | undefined {
    return this.elements[0];
  }

  [Symbol.iterator](): Iterator<T> {
    return this.elements[Symbol.iterator]();
  }

  add(element: T): void {
    this.elements.push(element);
    this.rise(element, this.elements.length - 1);
  }

  remove(element: T): void {
    const last = this.elements.pop() as T;
    if (last === element) return;
    this.elements[element.slot] = last;
    last.slot = element.slot;
    this.moved(last);
  }

  /** The element's order may have changed. */
  moved(element: T): void {
    this.rise(element, element.slot);
    this.sink(element, element.slot);
  }

  private rise(element: T, from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.elements[parent] as T;
      if (!this.goesBefore(element, above)) break;
      this.elements[at] = above;
      above.slot = at;
      at = parent;
    }
    this.elements[at] = element;
    element.slot = at;
  }

  private sink(element: T, from: number): void {
    const { elements } = this;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= elements.length) break;
      if (child + 1 < elements.length && this.goesBefore(elements[child + 1] as T, elements[child] as T)) child += 1;
      const below = elements[child] as T;
      if (!this.goesBefore(below, element)) break;
      elements[at] = below;
      below.slot = at;
      at = child;
    }
    elements[at] = element;
    element.slot = at;
  }
}
