import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../e2e/harness.ts";
import { accepting } from "./accept.ts";
import { startCeiling } from "./ceiling.ts";
import { changing } from "./changing.ts";
import { type BenchContext, type Benchmark, withSluice } from "./context.ts";
import { cost } from "./cost.ts";
import { endToEnd, narrowPump } from "./end-to-end.ts";
import { type Figure, renderFigures } from "./figure.ts";
import { growth } from "./growth.ts";
import { importing, listing } from "./imports.ts";
import { latency } from "./latency.ts";
import { allLimits, fullKey, slidingWindow } from "./limits.ts";
import { parsing } from "./object-rows.ts";
import { steering } from "./steering.ts";
import { startTarget } from "./target.ts";
import { watching } from "./watchers.ts";

const BENCHMARKS: Benchmark[] = [
  accepting,
  endToEnd,
  narrowPump,
  latency,
  cost,
  growth,
  slidingWindow,
  allLimits,
  fullKey,
  changing,
  watching,
  steering,
  parsing,
  listing,
  importing,
];
const NAMES = BENCHMARKS.flatMap((benchmark) => benchmark.names);

const USAGE = `npm run bench -- [--only ${NAMES.join(",")}] [--rounds 3] [--quick]`;

interface Options {
  only: (name: string) => boolean;
  rounds: number;
  quick: boolean;
}

function options(): Options {
  const { values } = parseArgs({
    options: { only: { type: "string" }, rounds: { type: "string", default: "3" }, quick: { type: "boolean" } },
  });
  const names = values.only?.split(",");
  const unknown = names?.find((name) => !NAMES.includes(name));
  const rounds = Number(values.rounds);
  if (unknown !== undefined) throw new Error(`no benchmark is called ${unknown}\n${USAGE}`);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is not a count\n${USAGE}`);
  return { only: (name) => names?.includes(name) ?? true, rounds, quick: values.quick ?? false };
}

async function bench({ only, rounds, quick }: Options): Promise<Figure[]> {
  const target = await startTarget();
  const ceiling = await startCeiling();
  const note = (text: string) => console.error(text);
  const context: BenchContext = { target, ceiling, rounds, divisor: quick ? 10 : 1, withSluice, note };
  const figures: Figure[] = [];
  try {
    for (const benchmark of BENCHMARKS) {
      if (!benchmark.names.some(only)) continue;
      try {
        figures.push(...(await benchmark.run(context, only)));
      } catch (error) {
        process.exitCode = 1;
        console.error(`${benchmark.names.join(", ")}: ${error instanceof Error ? error.stack : error}`);
      }
    }
  } finally {
    ceiling.stop();
    target.stop();
  }
  return figures;
}

function write(figures: Figure[], { rounds, quick }: Options): string {
  const folder = join(root, "bench-results");
  mkdirSync(folder, { recursive: true });
  const at = new Date().toISOString();
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.versions.node };
  const file = join(folder, `${at.replaceAll(/[:.]/g, "-")}.json`);
  writeFileSync(file, `${JSON.stringify({ at, commit, machine, rounds, quick, figures }, null, 2)}\n`);
  return file;
}

const chosen = options();
const figures = await bench(chosen);
console.log(renderFigures(figures));
console.log(`\nwritten to ${write(figures, chosen)}`);
process.exit();
