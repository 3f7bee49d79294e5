import fc from "fast-check";
import { expect, test } from "vitest";
import { type Flow, Scheduler } from "../../src/coordinator/scheduler.ts";

/** The shapes of flows in play: few, so that they share lines, batches and blockers. */
const SHAPES = [
  { priority: 0, key: null, batch: null },
  { priority: 0, key: null, batch: 1 },
  { priority: 0, key: null, batch: 2 },
  { priority: 0, key: "a", batch: 1 },
  { priority: 0, key: "b", batch: 1 },
  { priority: 0, key: "b", batch: 2 },
  { priority: 1, key: null, batch: 1 },
  { priority: 1, key: "a", batch: 2 },
  { priority: 1, key: "c", batch: null },
] as const;
const PAGE = 3;

type Step =
  | { do: "append"; flow: number; n: number }
  /** A run that was taken comes back to the head of its flow. */
  | { do: "return"; which: number }
  | { do: "remove"; which: number }
  | { do: "take"; n: number }
  /** A taken run ends: its permits are free. */
  | { do: "finish"; which: number }
  | { do: "limit"; blocker: number; to: number }
  | { do: "restart" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      flow: fc.nat(SHAPES.length - 1),
      n: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("take" as const), n: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("finish" as const), which: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("return" as const, "remove" as const), which: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("limit" as const), blocker: fc.nat(3), to: fc.integer({ min: 0, max: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

interface Run {
  seq: number;
  shape: number;
  place: "page" | "head" | "taken";
}

const BLOCKERS = ["batch:1", "batch:2", "key:a", "key:b"];
const blockersOf = (shape: number): string[] => {
  const { batch, key } = SHAPES[shape] as (typeof SHAPES)[number];
  return [...(batch === null ? [] : [`batch:${batch}`]), ...(key === null ? [] : [`key:${key}`])];
};
const lineOf = (shape: number): string => {
  const { priority, key } = SHAPES[shape] as (typeof SHAPES)[number];
  return `${priority}/${key ?? ""}`;
};

/** A scheduler with its backlog in a list, beside the plain truth: which runs wait where. */
class Bench {
  runs: Run[] = [];
  pages: { flow: number; ord: number; n: number; seqs: number[] }[] = [];
  readonly limits = new Map(BLOCKERS.map((name) => [name, 2]));
  private scheduler = this.fresh();
  private flows = new Map<number, Flow>();
  private nextSeq = 1;
  private clock = 0;
  private hasGhosts = false;
  /** When a line was last served, and since when it could have been. */
  private readonly served = new Map<string, number>();
  private readonly ableSince = new Map<string, number>();

  private fresh(): Scheduler {
    return new Scheduler({
      nextPage: (flow) => {
        const page = this.pages.find((p) => p.flow === flow);
        if (!page) return null;
        const seqs = page.seqs.filter((seq) => this.runs.some((r) => r.seq === seq && r.place === "page"));
        return { ord: page.ord, n: page.n, seqs };
      },
      dropPage: (flow, ord) => {
        this.pages = this.pages.filter((p) => p.flow !== flow || p.ord !== ord);
      },
      dropHead: () => undefined,
      emptied: () => undefined,
    });
  }

  private flow(shape: number): Flow {
    const known = this.flows.get(shape);
    if (known) return known;
    const { priority, key, batch } = SHAPES[shape] as (typeof SHAPES)[number];
    const flow = this.scheduler.addFlow({ id: shape, priority, key, batch, limits: null });
    this.flows.set(shape, flow);
    return flow;
  }

  private used(blocker: string): number {
    return this.runs.filter((r) => r.place === "taken" && blockersOf(r.shape).includes(blocker)).length;
  }

  private blockerOf(shape: number): string | null {
    return blockersOf(shape).find((name) => this.used(name) >= (this.limits.get(name) ?? 500)) ?? null;
  }

  private able(): Run[] {
    return this.runs.filter((run) => run.place !== "taken" && this.blockerOf(run.shape) === null);
  }

  play(s: Step): void {
    const pick = (wanted: (run: Run) => boolean, which: number): Run | undefined => {
      const runs = this.runs.filter(wanted);
      return runs[which % runs.length];
    };
    if (s.do === "append") this.append(s.flow, s.n);
    else if (s.do === "take") for (let i = 0; i < s.n; i++) this.take();
    else if (s.do === "restart") this.restart();
    else if (s.do === "limit") this.limit(BLOCKERS[s.blocker] as string, s.to);
    else if (s.do === "remove") {
      const run = pick((r) => r.place !== "taken", s.which);
      if (run) this.remove(run);
    } else {
      const run = pick((r) => r.place === "taken", s.which);
      if (run) this.giveUp(run, s.do === "return");
    }
    this.look();
  }

  private append(shape: number, n: number): void {
    for (let left = n; left > 0; left -= PAGE) {
      const seqs = Array.from({ length: Math.min(left, PAGE) }, () => this.nextSeq++);
      for (const seq of seqs) this.runs.push({ seq, shape, place: "page" });
      this.pages.push({ flow: shape, ord: seqs[0] as number, n: seqs.length, seqs });
      this.scheduler.appended(this.flow(shape), seqs.length);
    }
  }

  private remove(run: Run): void {
    this.runs = this.runs.filter((r) => r !== run);
    const page = run.place === "page" ? this.pages.find((p) => p.seqs.includes(run.seq)) : undefined;
    if (page) page.n -= 1;
    if (page?.n === 0) this.pages = this.pages.filter((p) => p !== page);
    this.scheduler.removed(this.flow(run.shape), run.seq);
  }

  private giveUp(run: Run, comesBack: boolean): void {
    if (comesBack) {
      run.place = "head";
      this.scheduler.putHead(this.flow(run.shape), run.seq);
    } else this.runs = this.runs.filter((r) => r !== run);
    for (const name of blockersOf(run.shape)) this.scheduler.wake(name, 1);
  }

  private limit(name: string, to: number): void {
    this.limits.set(name, to);
    this.scheduler.wake(name);
  }

  /** Everything in memory is gone; pages still count what was taken from them. */
  private restart(): void {
    this.scheduler = this.fresh();
    this.flows = new Map();
    for (const { flow, n } of this.pages) this.scheduler.appended(this.flow(flow), n);
    for (const run of this.runs) if (run.place === "head") this.scheduler.putHead(this.flow(run.shape), run.seq);
    this.hasGhosts = true;
    this.served.clear();
    this.ableSince.clear();
  }

  private take(): void {
    this.look();
    const able = this.able();
    const taken = this.scheduler.take((flow) => this.blockerOf(flow.id));
    if (taken === null) {
      expect(able.map((run) => run.seq)).toEqual([]);
      return;
    }
    const run = able.find((r) => r.seq === taken.seq);
    if (!run) throw new Error(`${taken.seq} was taken, able were ${able.map((r) => r.seq)}`);
    const priority = (r: Run): number => SHAPES[r.shape]?.priority ?? 0;
    const top = able.filter((r) => priority(r) === Math.max(...able.map(priority)));
    expect(top).toContain(run);
    const line = top.filter((r) => lineOf(r.shape) === lineOf(run.shape));
    expect(run.seq).toBe(firstOf(line.filter((r) => r.shape === run.shape)).seq);
    if (!this.isContended(firstOf(line))) expect(run.seq).toBe(firstOf(line).seq);
    this.turn(lineOf(run.shape), new Set(top.map((r) => lineOf(r.shape))));
    run.place = "taken";
    this.look();
  }

  /** Another line waits for the same room, and it may have been promised to that one; to its ghost, after a restart. */
  private isContended(run: Run): boolean {
    if (this.hasGhosts) return true;
    const mine = blockersOf(run.shape);
    return this.runs.some(
      (r) =>
        r.place !== "taken" &&
        lineOf(r.shape) !== lineOf(run.shape) &&
        blockersOf(r.shape).some((name) => mine.includes(name)),
    );
  }

  /** No line goes twice while another that could have gone all the time waits. */
  private turn(line: string, able: Set<string>): void {
    const last = this.served.get(line) ?? -1;
    for (const other of able) {
      if (other === line) continue;
      const waited =
        (this.ableSince.get(other) ?? Number.POSITIVE_INFINITY) <= last && (this.served.get(other) ?? -1) < last;
      expect(waited, `${line} goes again, and ${other} waits`).toBe(false);
    }
    this.served.set(line, ++this.clock);
  }

  private look(): void {
    const able = new Set(this.able().flatMap((run) => (this.isContended(run) ? [] : [lineOf(run.shape)])));
    for (const line of [...this.ableSince.keys()]) if (!able.has(line)) this.ableSince.delete(line);
    for (const line of able) if (!this.ableSince.has(line)) this.ableSince.set(line, this.clock + 0.5);
  }

  drain(): void {
    for (const name of BLOCKERS) this.limit(name, 1_000);
    const waiting = this.runs.filter((run) => run.place !== "taken").length;
    for (let i = 0; i < waiting; i++) this.take();
    expect(this.scheduler.take(() => null)).toBe(null);
    expect(this.runs.every((run) => run.place === "taken")).toBe(true);
    expect(this.pages).toEqual([]);
  }
}

/** The flow whose first run is oldest; in it, what came back goes first. */
function firstOf(line: Run[]): Run {
  const min = (runs: Run[]): Run => runs.reduce((a, b) => (b.seq < a.seq ? b : a));
  const flow = line.filter((run) => run.shape === min(line).shape);
  const heads = flow.filter((run) => run.place === "head");
  return min(heads.length > 0 ? heads : flow);
}

test("who goes next is who a look at everything would choose", { timeout: 600_000 }, () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (script) => {
      const bench = new Bench();
      for (const s of script) bench.play(s);
      bench.drain();
    }),
    { numRuns: Number(process.env.MODEL_RUNS ?? 500) },
  );
});

test("choosing looks at no more flows than it takes or parks, however many are parked", () => {
  const scheduler = new Scheduler({
    nextPage: (flow) => ({ ord: flow, n: 1, seqs: [flow] }),
    dropPage: () => undefined,
    dropHead: () => undefined,
    emptied: () => undefined,
  });
  for (let id = 1; id <= 5_000; id++) {
    scheduler.appended(scheduler.addFlow({ id, priority: 0, key: `k${id}`, batch: 7, limits: null }), 1);
  }
  let looks = 0;
  let room = 0;
  const blockerOf = (): string | null => {
    looks += 1;
    return room > 0 ? null : "batch:7";
  };
  expect(scheduler.take(blockerOf)).toBe(null);
  expect(looks).toBe(5_000);
  looks = 0;
  for (let i = 0; i < 100; i++) {
    room = 1;
    scheduler.wake("batch:7", 1);
    expect(scheduler.take(blockerOf)).not.toBe(null);
    room = 0;
    expect(scheduler.take(blockerOf)).toBe(null);
  }
  expect(looks).toBeLessThanOrEqual(200);
});
