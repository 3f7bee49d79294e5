import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, type Counters, readCounters } from "./context.ts";
import { runSluice } from "./end-to-end.ts";
import { type Figure, figure, target } from "./figure.ts";
import { W1 } from "./workloads.ts";

/** Operations that a queue bills for one message: write, read, delete. */
const OPERATIONS_A_TICKET = 3;
const REST_MS = 3_000;

/** What a run costs on the bill: rows written, queue operations, calls of the coordinator. */
export const cost: Benchmark = {
  names: ["cost"],
  run: (context) =>
    context.withSluice({}, async (sluice) => {
      const count = Math.ceil(W1.count / context.divisor);
      await runSluice(sluice, context.target, W1, count);
      await sleep(REST_MS); // What is written behind belongs to it.
      const before = await readCounters(sluice);
      await runSluice(sluice, context.target, W1, count);
      await sleep(REST_MS);
      const after = await readCounters(sluice);
      if (!before || !after) {
        context.note("cost: the Worker shows no counters at /__dev/counters");
        return [];
      }
      const runs = after.runs_finished - before.runs_finished;
      const perRun = (name: keyof Counters) => (after[name] - before[name]) / runs;
      const ledger = perRun("ledger_rows_written");
      const d1 = perRun("d1_rows_written");
      const figures: Figure[] = [
        figure("cost", "rows written, ledger", "per run", [ledger]),
        figure("cost", "rows written, D1", "per run", [d1]),
        figure("cost", "rows written, together", "per run", [ledger + d1], {
          judge: (value) => target("≤ 7", value <= 7),
        }),
        figure("cost", "queue operations", "per run", [OPERATIONS_A_TICKET * perRun("tickets_sent")]),
        figure("cost", "coordinator calls", "per run", [perRun("coordinator_calls")], {
          judge: (value) => target("≤ 0.1", value <= 0.1),
        }),
      ];
      return figures;
    }),
};
