/** How often a value fell where: `counts[i]` values were at most `bounds[i]` and above the one before, the last beyond all. */
export interface Histogram {
  counts: number[];
  sum: number;
}

export const emptyHistogram = (bounds: readonly number[]): Histogram => ({
  counts: new Array<number>(bounds.length + 1).fill(0),
  sum: 0,
});

/** Adds a value, in place: it is called for every run. */
export function observe(histogram: Histogram, bounds: readonly number[], value: number): void {
  let i = 0;
  while (i < bounds.length && value > (bounds[i] as number)) i += 1;
  histogram.counts[i] = (histogram.counts[i] ?? 0) + 1;
  histogram.sum += value;
}
