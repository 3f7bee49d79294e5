import type { Histogram } from "./histogram.ts";

/** The Prometheus text format, version 0.0.4: `# HELP`, `# TYPE`, then a line a sample, each metric's samples together. */

export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;

const escaped = (text: string): string => text.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));

const series = (name: string, labels: Labels): string => {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(",")}}`;
};

/** A metric with its samples, ready to be printed. */
export class Metric {
  private readonly lines: string[];
  private readonly name: string;

  constructor(name: string, type: "counter" | "gauge" | "histogram", help: string) {
    this.name = name;
    this.lines = [`# HELP ${name} ${help.replace(/[\\\n]/g, " ")}`, `# TYPE ${name} ${type}`];
  }

  sample(labels: Labels, value: number): void {
    this.lines.push(`${series(this.name, labels)} ${value}`);
  }

  /** @param bounds the histogram's own, in the metric's unit. */
  histogram(labels: Labels, bounds: readonly number[], { counts, sum }: Histogram): void {
    let total = 0;
    bounds.forEach((bound, i) => {
      total += counts[i] ?? 0;
      this.lines.push(`${series(`${this.name}_bucket`, { ...labels, le: String(bound) })} ${total}`);
    });
    total += counts[bounds.length] ?? 0;
    this.lines.push(`${series(`${this.name}_bucket`, { ...labels, le: "+Inf" })} ${total}`);
    this.lines.push(`${series(`${this.name}_sum`, labels)} ${sum}`, `${series(`${this.name}_count`, labels)} ${total}`);
  }

  toString(): string {
    return `${this.lines.join("\n")}\n`;
  }
}
