import { renderTable } from "../../src/cli/table.ts";

/** One measured number, beside what it could be and what it should be. */
export interface Figure {
  /** `W1`, `accept`, … */
  benchmark: string;
  what: string;
  /** The median of the rounds. */
  value: number;
  unit: string;
  rounds: number[];
  /** What a bare Worker in the same runtime reached in the same run. */
  ceiling: number | null;
  target: Target | null;
}

export interface Target {
  /** As the table shows it: `≥ 0.65 of the ceiling`. */
  text: string;
  met: boolean;
}

export function median(values: number[]): number {
  return quantile(values, 0.5);
}

/** The value below which a share `q` of the values lies; nearest rank. */
export function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

export const target = (text: string, met: boolean): Target => ({ text, met });

/** A figure over rounds; `judge` sees the median and the ceiling's median. */
export function figure(
  benchmark: string,
  what: string,
  unit: string,
  rounds: number[],
  options: { ceilings?: number[]; judge?: (value: number, ceiling: number) => Target } = {},
): Figure {
  const value = median(rounds);
  const ceiling = options.ceilings?.length ? median(options.ceilings) : null;
  return {
    ...{ benchmark, what, value, unit, rounds, ceiling },
    target: options.judge?.(value, ceiling ?? Number.NaN) ?? null,
  };
}

const rounded = (value: number): string =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));

export function renderFigures(figures: Figure[]): string {
  return renderTable(
    ["benchmark", "what", "figure", "unit", "rounds", "ceiling", "share", "target", "verdict"],
    figures.map((f) => [
      ...[f.benchmark, f.what, rounded(f.value), f.unit, f.rounds.map(rounded).join(" ")],
      f.ceiling === null ? "" : rounded(f.ceiling),
      f.ceiling === null ? "" : rounded(f.value / f.ceiling),
      ...[f.target?.text ?? "", f.target ? (f.target.met ? "met" : "MISSED") : ""],
    ]),
  );
}
