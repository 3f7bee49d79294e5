import { DurableObject } from "cloudflare:workers";
import type { BatchRecord } from "../domain/batch.ts";
import { uuidV7 } from "../domain/id.ts";
import type { JobVersion } from "../domain/job.ts";
import type { RunRecord, RunStatus } from "../domain/run.ts";
import { type Env, parseSettings } from "../env.ts";
import { logError } from "../log.ts";
import { accept, refusal, rehearse } from "./accept.ts";
import { backedMsOf } from "./alarm-clock.ts";
import { batchRecord } from "./batch.ts";
import {
  cancelBatch,
  closeBatch,
  findBatch,
  openBatch,
  patchBatch,
  pauseBatch,
  releaseBatch,
  resumeBatch,
  sealBatch,
  tendBatches,
} from "./batch-book.ts";
import { bill } from "./bill.ts";
import { configure } from "./configuration.ts";
import { fireCron } from "./cron-firing.ts";
import type { CronAnswer, CronRequest } from "./cron-protocol.ts";
import { Departure } from "./departure.ts";
import { expireWaiting, promoteDue } from "./due.ts";
import { purgeSeen } from "./duplicates.ts";
import { exchange, patienceOf, reclaim } from "./exchange.ts";
import { isBusy } from "./flush.ts";
import { acceptImport, fenceImport, forgetImport, openImport } from "./import-intake.ts";
import type { ImportAnswer, ImportChunk, OpenImportAnswer, OpenImportRequest, StreamPlace } from "./import-protocol.ts";
import { Lane } from "./lane.ts";
import { Ledger } from "./ledger.ts";
import type {
  AcceptAnswer,
  AcceptRequest,
  BatchAnswer,
  BatchPatch,
  CancelAnswer,
  CloseAnswer,
  CloseRequest,
  ConfigureAnswer,
  CoordinatorApi,
  ExchangeAnswer,
  ExchangeRequest,
  JobConfig,
  LaneHealth,
  OpenBatchAnswer,
  OpenBatchRequest,
  ResumeBatchAnswer,
} from "./protocol.ts";
import { cancelRun, cancelWhere, laneHealth, readRun, runOf } from "./steering.ts";
import { stepSweeps, sweepStopped } from "./sweep.ts";
import { oldestUnsentAt } from "./wake.ts";
import { Watchers } from "./watchers.ts";

/** Sweep steps in one alarm before others get a word in. */
const SWEEP_STEPS = 4;
/** An alarm's handler waits this long for D1. */
const ALARM_PATIENCE_MS = 1_000;

/** Waits for `work`, but no longer than that. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, patience]);
  clearTimeout(timer);
}

/**
 * One job's lane: the shell. It reads the clock, runs the brain in one transaction, and afterwards does what leaves the
 * object: tickets, the copy in D1, the next alarm. It decides nothing itself.
 */
export class JobCoordinator extends DurableObject<Env> implements CoordinatorApi {
  private readonly ledger: Ledger;
  private lane: Lane | null = null;
  private readonly departure: Departure;
  private readonly watchers: Watchers;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.ledger = new Ledger(ctx.storage.sql);
    this.departure = new Departure({
      env: () => this.env,
      ctx,
      backedMs: backedMsOf(env),
      load: () => this.load(),
      now: (lane) => this.now(lane),
      change: (work) => this.change(work),
      alarm: () => this.alarm(),
    });
    this.watchers = new Watchers(
      ctx,
      () => this.load(),
      (lane) => this.now(lane),
    );
  }

  // ------------------------------------------------------------------ watching

  override async fetch(request: Request): Promise<Response> {
    return this.watchers.accept(request);
  }

  override async webSocketClose(socket: WebSocket): Promise<void> {
    this.watchers.drop(socket);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    this.watchers.drop(socket);
  }

  // ------------------------------------------------------------------ configuration

  async configure(config: JobConfig, between: JobVersion[] = []): Promise<ConfigureAnswer> {
    return this.change((lane, now) => configure(lane, config, between, now));
  }

  // ------------------------------------------------------------------ accepting

  async accept(request: AcceptRequest): Promise<AcceptAnswer> {
    return this.ifAllowed(request.revision, (lane, now) =>
      request.dry_run ? rehearse(lane, request, now) : accept(lane, request, now),
    );
  }

  async fireCron(request: CronRequest): Promise<CronAnswer> {
    return this.ifAllowed(request.revision, (lane, now) => fireCron(lane, request, now));
  }

  async openBatch(request: OpenBatchRequest): Promise<OpenBatchAnswer> {
    return this.ifAllowed(request.revision, (lane, now) => openBatch(lane, request, now));
  }

  async resumeBatch(batchId: string): Promise<ResumeBatchAnswer> {
    return this.ifThere<ResumeBatchAnswer>({ kind: "not_found" }, (lane, now) => resumeBatch(lane, batchId, now));
  }

  async closeBatch(request: CloseRequest): Promise<CloseAnswer> {
    return this.ifThere<CloseAnswer>({ kind: "not_found" }, (lane, now) => closeBatch(lane, request, now));
  }

  async releaseBatch(batchId: string, epoch: number): Promise<void> {
    return this.ifThere(undefined, (lane) => releaseBatch(lane, batchId, epoch));
  }

  async sealBatch(batchId: string, expectedCount: number | null): Promise<CloseAnswer> {
    return this.ifThere<CloseAnswer>({ kind: "not_found" }, (lane, now) =>
      sealBatch(lane, batchId, expectedCount, now),
    );
  }

  async openImport(request: OpenImportRequest): Promise<OpenImportAnswer> {
    return this.ifAllowed(request.revision, (lane, now) => openImport(lane, request, now));
  }

  async acceptImport(chunk: ImportChunk): Promise<ImportAnswer> {
    return this.ifAllowed(chunk.revision, (lane, now) => acceptImport(lane, chunk, now));
  }

  async fenceImport(importId: string, stream: number, fence: number): Promise<StreamPlace | null> {
    return this.ifThere<StreamPlace | null>(null, (lane) => fenceImport(lane, importId, stream, fence));
  }

  async forgetImport(importId: string): Promise<void> {
    return this.ifThere(undefined, (lane) => forgetImport(lane, importId));
  }

  // ------------------------------------------------------------------ delivering

  async exchange(request: ExchangeRequest): Promise<ExchangeAnswer> {
    this.departure.tickets.answered(request.ticket);
    bill.runs_finished += request.results.length;
    const answer = this.exchangeNow(request);
    const lane = this.load();
    const patience = lane === null ? 0 : patienceOf(lane, request, answer);
    if (patience === 0 || !(await this.departure.lingering.wait(patience))) return answer;
    return this.exchangeNow({ ...request, results: [], started: [] });
  }

  private exchangeNow(request: ExchangeRequest): ExchangeAnswer {
    return this.ifThere<ExchangeAnswer>({ kind: "disowned" }, (lane, now) => {
      reclaim(lane, { now, random: Math.random });
      return exchange(lane, request, { now, random: Math.random });
    });
  }

  // ------------------------------------------------------------------ reading and steering

  async getRun(id: string): Promise<RunRecord | null> {
    const lane = this.load();
    return lane === null ? null : readRun(lane, id);
  }

  async runOf(identity: string): Promise<string | null> {
    const lane = this.load();
    return lane === null ? null : runOf(lane, identity, this.now(lane));
  }

  async getBatch(id: string): Promise<BatchRecord | null> {
    const lane = this.load();
    const batch = lane === null ? null : findBatch(lane, id);
    return lane?.config && batch ? batchRecord(batch, lane.config, this.now(lane)) : null;
  }

  async cancelRun(id: string): Promise<CancelAnswer> {
    return this.ifThere<CancelAnswer>({ kind: "not_found" }, (lane, now) => cancelRun(lane, id, now));
  }

  async cancelRuns(ids: string[]): Promise<CancelAnswer[]> {
    return this.ifThere<CancelAnswer[]>(
      ids.map(() => ({ kind: "not_found" })),
      (lane, now) => ids.map((id) => cancelRun(lane, id, now)),
    );
  }

  async cancelBatch(id: string): Promise<BatchAnswer> {
    return this.ifThere<BatchAnswer>({ kind: "not_found" }, (lane, now) => cancelBatch(lane, id, now));
  }

  async pauseBatch(id: string, paused: boolean): Promise<BatchAnswer> {
    return this.ifThere<BatchAnswer>({ kind: "not_found" }, (lane, now) => pauseBatch(lane, id, paused, now));
  }

  async cancelWhere(filter: { status: RunStatus | null }): Promise<{ operation_id: string }> {
    const id = uuidV7(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
    return this.ifThere({ operation_id: id }, (lane, now) => {
      cancelWhere(lane, id, filter.status, now);
      return { operation_id: id };
    });
  }

  async patchBatch(id: string, patch: BatchPatch): Promise<BatchAnswer | { kind: "precondition_failed"; ver: number }> {
    return this.ifThere<BatchAnswer | { kind: "precondition_failed"; ver: number }>(
      { kind: "not_found" },
      (lane, now) => patchBatch(lane, id, patch, now),
    );
  }

  async health(): Promise<LaneHealth> {
    const lane = this.load();
    if (lane !== null) return laneHealth(lane);
    return {
      waiting: 0,
      executing: 0,
      oldest_waiting_at: null,
      waiting_for: {},
      earliest_start_at: null,
      concurrency_now: 0,
      concurrency_limit: 0,
    };
  }

  async behindSince(): Promise<{ now: number; since: number | null }> {
    const lane = this.load();
    if (lane === null) return { now: Date.now(), since: null };
    return { now: this.now(lane), since: oldestUnsentAt(lane) };
  }

  async sweep(): Promise<{ idle: boolean }> {
    const lane = this.load();
    if (lane === null) return { idle: true };
    // The alarm may have been lost: forget what was believed of it.
    this.departure.forgetAlarm();
    await this.tick();
    return this.ifThere({ idle: true }, (l) => {
      this.departure.warnOfLag(l, this.now(l));
      if (isBusy(l) || l.outboxTimes.oldest !== null) return { idle: false };
      // From now on the next accepted run tells the sweeper again.
      l.state.busyTold = false;
      return { idle: true };
    });
  }

  // ------------------------------------------------------------------ the alarm

  override async alarm(): Promise<void> {
    this.departure.forgetAlarm();
    await this.tick();
  }

  /** Everything that time alone makes due. It never throws: an alarm that fails seven times is gone. */
  private async tick(): Promise<void> {
    try {
      if (this.load() === null) return;
      let more = true;
      for (let i = 0; more && i < SWEEP_STEPS; i++) {
        more = this.change((lane, now) => {
          reclaim(lane, { now, random: Math.random });
          const expired = expireWaiting(lane, now);
          const promoted = promoteDue(lane, now);
          const swept = stepSweeps(lane, now, 1);
          if (i === 0) tendBatches(lane, now);
          const purged = lane.config !== null && purgeSeen(lane.ledger, lane.spec, now);
          return expired || promoted || swept || purged;
        });
      }
      const sending = this.departure.flush();
      this.ctx.waitUntil(sending);
      // No other alarm fires before this handler ends: a slow D1 must not hold up what falls due meanwhile.
      await within(sending, ALARM_PATIENCE_MS);
      await this.departure.alarmStored;
    } catch (error) {
      logError("coordinator_tick_failed", { lane: this.ctx.id.name }, error);
      this.departure.arm(Date.now() + 1_000);
    }
  }

  // ------------------------------------------------------------------ the shell's own

  private now(lane: Lane): number {
    return Math.max(Date.now(), lane.state.clock);
  }

  /** The lane, or null for one that was never configured: a read creates no tables. */
  private load(): Lane | null {
    if (this.lane !== null && !this.lane.poisoned) return this.lane;
    if (!this.ledger.exists()) return null;
    this.lane = this.open();
    return this.lane;
  }

  private open(): Lane {
    this.ledger.migrate();
    const s = parseSettings(this.env);
    return new Lane(this.ctx.storage, this.ledger, {
      pumpWidth: s.pumpWidth,
      bootId: s.bootId,
      maxConcurrency: s.deploymentMaxConcurrency,
      maxFlows: s.deploymentMaxFlows,
    });
  }

  /** One transaction, and what follows from it. */
  private change<T>(work: (lane: Lane, now: number) => T): T {
    bill.coordinator_calls += 1;
    const lane = this.load() ?? this.open();
    this.lane = lane;
    const now = this.now(lane);
    const result = lane.transact(now, () => {
      const answer = work(lane, now);
      sweepStopped(lane, now);
      return answer;
    });
    this.departure.follow(lane, now);
    this.watchers.tell(lane);
    return result;
  }

  private ifThere<T>(otherwise: T, work: (lane: Lane, now: number) => T): T {
    return this.load() === null ? otherwise : this.change(work);
  }

  /** For calls that judged by a revision of the configuration. */
  private ifAllowed<T extends { kind: string }>(
    revision: number,
    work: (lane: Lane, now: number) => T,
  ): T | NonNullable<ReturnType<typeof refusal>> {
    const lane = this.load();
    if (lane === null) return { kind: "unknown_config" };
    return refusal(lane, revision, this.departure.isOverloaded(lane)) ?? this.change(work);
  }
}
