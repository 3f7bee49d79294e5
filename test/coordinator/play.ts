import { expect } from "vitest";
import type { JobConfig } from "../../src/coordinator/protocol.ts";
import type { BatchRecord } from "../../src/domain/batch.ts";
import { isTerminal } from "../../src/domain/run.ts";
import { SPEC } from "../fixtures/job-spec.ts";
import { Consumers } from "./consumers.ts";
import { Intake, type PageTurn } from "./intake.ts";
import type { RefBatch } from "./nouns.ts";
import { Reference } from "./reference.ts";
import { Starts } from "./starts.ts";
import type { Knobs, Step } from "./steps.ts";
import { type Delivery, World } from "./world.ts";

/** Every run of every script is told of, and some of the batches. */
export const JOB_HOOK = "https://hooks.example/runs";
export const BATCH_HOOK = "https://hooks.example/batches";

const at = <T>(list: readonly T[], which: number): T | undefined => list[which % list.length];

/** Plays steps against the real object and the reference side by side, and compares. */
export class Play {
  readonly world: World;
  readonly reference: Reference;
  readonly width: number;
  readonly number: number;
  /** `finished_at` as first seen, by batch id. */
  readonly ends = new Map<string, number>();
  readonly intake = new Intake(this);
  readonly consumers = new Consumers(this);
  readonly starts = new Starts();
  private readonly versOfBatches = new Map<string, number>();
  private names = 0;
  /** Hears of every exchange. */
  journal: (line: string) => void = () => undefined;
  d1BadSince: number | null = null;

  constructor(number: number, width: number, boots: boolean) {
    this.number = number;
    this.width = width;
    this.world = new World(`job-${number}`, width, boots ? "boot-0" : null);
    this.reference = new Reference(this.world.bootId);
  }

  async begin(): Promise<void> {
    await this.world.begin();
    await this.configure({}, false, false);
  }

  get now(): number {
    return this.world.now;
  }

  get config(): JobConfig {
    if (this.reference.config === null) throw new Error("never configured");
    return this.reference.config;
  }

  name(prefix: string): string {
    return `${prefix}-${++this.names}`;
  }

  async play(step: Step): Promise<void> {
    await this.act(step);
    this.reference.conclude(this.now);
  }

  private async act(step: Step): Promise<void> {
    switch (step.do) {
      case "configure":
        return this.configure(step.knobs, step.paused, step.stale);
      case "single":
        return this.intake.single(step.items, step.revision);
      case "open":
        return this.intake.open(step.max, step.threshold, step.request);
      case "chunk":
        return this.intake.chunk(step);
      case "resume":
      case "release":
        return this.intake.turnPage({ do: step.do, which: step.which } as PageTurn);
      case "close":
      case "seal":
        return this.intake.turnPage(step);
      case "exchange":
        return this.consumers.exchange(step);
      case "die": {
        const slot = this.consumers.slots[step.slot];
        if (slot) this.consumers.kill(slot);
        return;
      }
      case "late":
        return this.consumers.late(step.which, step.result);
      case "cancel_runs":
        return this.cancelRuns(step.which);
      case "cancel_batch":
        return this.cancelBatch(step.which);
      case "pause_batch":
        return this.pauseBatch(step.which, step.paused);
      case "cancel_where":
        await this.world.stub.cancelWhere({ status: step.status });
        if (step.status === "dequeued" || step.status === "executing") {
          this.reference.cancelHeld((h) => h.run.status === step.status);
        } else this.reference.cancelWaiting((run) => step.status === null || run.status === step.status);
        return;
      case "patch_batch":
        return this.patchBatch(step);
      case "pass":
        return this.pass(step.ms);
      case "jump":
        this.world.setTime(this.now + step.ms);
        return;
      case "alarm":
        if (await this.world.fireNow()) this.reference.tick(this.now);
        return;
      case "sweep":
        await this.world.arrive();
        await this.world.stub.sweep(this.world.bootId);
        this.reference.tick(this.now);
        return;
      case "lose_tickets":
        this.world.tickets.length = 0;
        return;
      case "reboot":
        return this.reboot();
      case "restart":
        this.reference.limits.restarted();
        return this.world.restart(step.crash);
      case "d1":
        if (step.mode !== "fine" && step.mode !== "slow") this.d1BadSince ??= this.now;
        else this.d1BadSince = null;
        await this.world.arrive();
        this.world.d1 = step.mode;
    }
  }

  // ------------------------------------------------------------------ configuration

  async configure(knobs: Partial<Knobs>, paused: boolean, stale: boolean): Promise<void> {
    const before = this.reference.config;
    const version = (before?.current.version ?? 0) + 1;
    const config: JobConfig = {
      id: this.world.jobId,
      number: this.number,
      project_id: "project",
      revision: (before?.revision ?? 0) + (stale ? 0 : 1),
      paused,
      deleted: false,
      current: {
        version,
        version_id: `ver_${version}`,
        spec: { ...SPEC, webhook_url: JOB_HOOK, ...before?.current.spec, ...knobs },
      },
    };
    const answer = await this.world.stub.configure(config);
    expect(answer).toEqual({ kind: "configured", revision: config.revision });
    if (stale) return;
    this.reference.config = config;
    this.reference.versions.set(version, config.current);
    this.reference.limits.configure(config.current.spec);
    this.starts.configured(config.current.spec, this.now);
  }

  // ------------------------------------------------------------------ steering

  batch(which: number): RefBatch | undefined {
    return at(this.reference.batches, which);
  }

  private async cancelRuns(which: number[]): Promise<void> {
    const runs = which.flatMap((n) => at(this.reference.runs, n) ?? []);
    const answers = await this.world.stub.cancelRuns(runs.map((run) => run.id));
    runs.forEach((run, i) => {
      const answer = answers[i];
      if (isTerminal(run.status)) {
        if (answer?.kind !== "not_found") expect(answer).toEqual({ kind: "terminal", status: run.status });
        return;
      }
      expect(answer).toMatchObject({ kind: "canceled", run: { id: run.id, status: "canceled" } });
      this.reference.cancelRun(run);
    });
  }

  private async cancelBatch(which: number): Promise<void> {
    const batch = this.batch(which);
    if (!batch) return;
    const answer = await this.world.stub.cancelBatch(batch.id);
    if (batch.finishedAt !== null) {
      expect(["finished", "not_found"]).toContain(answer.kind);
      return;
    }
    batch.canceled = true;
    batch.sealed = true;
    this.reference.cancelWaiting((run) => run.batch === batch);
    this.reference.conclude(this.now);
    if (answer.kind !== "batch") throw new Error(`not canceled: ${JSON.stringify(answer)}`);
    this.watchBatch(answer.batch, batch);
  }

  private async pauseBatch(which: number, paused: boolean): Promise<void> {
    const batch = this.batch(which);
    if (!batch) return;
    const answer = await this.world.stub.pauseBatch(batch.id, paused);
    if (batch.finishedAt !== null) {
      expect(["finished", "not_found"]).toContain(answer.kind);
      return;
    }
    batch.paused = paused;
    if (answer.kind !== "batch") throw new Error(`not paused: ${JSON.stringify(answer)}`);
    expect(answer.batch.status === "paused").toBe(paused && !batch.canceled && !batch.stopped);
    this.watchBatch(answer.batch, batch);
  }

  private async patchBatch(step: Step & { do: "patch_batch" }): Promise<void> {
    const batch = this.batch(step.which);
    if (!batch) return;
    const { stub } = this.world;
    const before = await stub.getBatch(batch.id);
    const failure_threshold = step.threshold === null ? null : { percent: step.threshold, min_items: 2 };
    const if_vers = [(before?.ver ?? 0) + (step.match ? 0 : 1)];
    const answer = await stub.patchBatch(batch.id, { max_concurrency: step.max, failure_threshold, if_vers });
    if (before === null) expect(answer).toEqual({ kind: "not_found" });
    else if (!step.match) expect(answer).toEqual({ kind: "precondition_failed", ver: before.ver });
    else if (batch.finishedAt !== null) expect(answer).toEqual({ kind: "finished" });
    else {
      batch.max = step.max;
      batch.threshold = failure_threshold;
      this.reference.stopBeyondThreshold(batch);
      this.reference.conclude(this.now);
      if (answer.kind !== "batch") throw new Error(`not patched: ${JSON.stringify(answer)}`);
      expect(answer.batch.ver).toBeGreaterThan(before.ver);
      this.watchBatch(answer.batch, batch);
    }
  }

  // ------------------------------------------------------------------ time

  /** Time passes, and every alarm fires when it is due. */
  async pass(ms: number): Promise<void> {
    await this.world.arrive();
    const until = this.now + ms;
    let atOnce = 0;
    for (;;) {
      const alarm = await this.world.alarm();
      if (alarm === null || alarm > until) break;
      atOnce = alarm > this.now ? 0 : atOnce + 1;
      if (atOnce > 20) throw new Error("the alarm goes off without end");
      this.world.setTime(Math.max(alarm, this.now));
      await this.world.fireNow();
      this.reference.tick(this.now);
    }
    this.world.setTime(until);
    expect(this.reference.overdue(this.now), "an alarm was missing").toEqual([]);
  }

  private async reboot(): Promise<void> {
    if (this.world.bootId === null) return;
    this.consumers.killAll();
    this.reference.limits.restarted();
    await this.world.restart(true, this.name("boot"));
    this.reference.reboot(this.world.bootId, this.now);
  }

  /** What D1 holds for the receivers of webhooks. */
  deliveries(): Promise<Delivery[]> {
    const { runs, batches } = this.reference;
    return this.world.deliveries(
      runs.map(({ id }) => id),
      batches.map(({ id }) => id),
    );
  }

  /** A batch record agrees with the rules, and its end was set once. */
  watchBatch(record: BatchRecord, batch: RefBatch): void {
    expect(record.counts).toEqual(this.reference.counts(batch));
    expect(record.finished_at).toBe(batch.finishedAt);
    const seen = this.ends.get(record.id);
    if (seen !== undefined) expect(record.finished_at).toBe(seen);
    if (record.finished_at !== null) this.ends.set(record.id, record.finished_at);
    const ver = this.versOfBatches.get(record.id) ?? 0;
    expect(record.ver).toBeGreaterThanOrEqual(ver);
    this.versOfBatches.set(record.id, record.ver);
    const counted = { created: 0, duplicate: 0, rejected: 0, taken: 0 };
    for (const { o } of batch.outcomes) counted[o] += 1;
    expect([record.item_count, record.created_count, record.duplicate_count, record.rejected_count]).toEqual([
      batch.outcomes.length,
      counted.created,
      counted.duplicate,
      counted.rejected,
    ]);
  }
}
