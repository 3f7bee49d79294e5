import { presentLimit, start as startAdaptive } from "../domain/adaptive-concurrency.ts";
import { BREAKER_CLOSED } from "../domain/circuit-breaker.ts";
import type { JobSpec, JobVersion } from "../domain/job.ts";
import type { RunStatus } from "../domain/run.ts";
import { isTerminal } from "../domain/run.ts";
import { Agenda } from "./agenda.ts";
import { type Batch, exceedsThreshold, neglectedAt, stampChange } from "./batch.ts";
import type { Flow } from "./flow.ts";
import { gate, WindowClock } from "./gate.ts";
import { EMPTY_LANE, type LaneState, type Live, stateText } from "./lane-state.ts";
import { type Held, type Lease, leaseDoc, loadLeases } from "./lease.ts";
import { type Ledger, type LedgerRun, PLACE } from "./ledger.ts";
import { Limits } from "./limits.ts";
import { announceBatch } from "./notices.ts";
import { appendOutbox, countOutbox, OutboxTimes } from "./outbox.ts";
import { nothingPending, outboxBody, type Pending } from "./pending.ts";
import type { JobConfig } from "./protocol.ts";
import { Scheduler } from "./scheduler.ts";
import type { Sweep } from "./sweep.ts";
import { VersionLine } from "./version-line.ts";

/** Blockers that one transaction looks after when a change may have given them room. */
const REOPENED_AT_ONCE = 1_000;

/** What the deployment sets. */
export interface LaneSettings {
  pumpWidth: number;
  bootId: string | null;
  maxConcurrency: number;
  maxFlows: number;
}

/**
 * A job's lane in memory: what the ledger holds, indexed for deciding. Everything here can be rebuilt from the ledger, and
 * is, after every start and after every transaction that failed.
 */
export class Lane {
  readonly ledger: Ledger;
  readonly settings: LaneSettings;
  readonly scheduler: Scheduler;
  readonly limits: Limits;
  readonly window = new WindowClock();
  readonly line = new VersionLine();
  readonly batches = new Map<number, Batch>();
  /** When batches that are not sealed are to be looked after. */
  readonly openBatches = new Agenda<number>();
  /** Permits in use by batch. */
  readonly batchHeld = new Map<number, number>();
  /** The one that was heard of longest ago first. */
  readonly leases = new Map<string, Lease>();
  readonly held = new Map<number, Held>();
  readonly sweeps = new Map<string, Sweep>();
  state: LaneState;
  config: JobConfig | null;
  pending: Pending = nothingPending();
  /** What the last transaction wrote. */
  committed: Pending = this.pending;
  /** Runs up to here are on their way to D1, or there. */
  copyingUpTo = 0;
  /** Rows that wait for D1 in the outbox; new runs not yet copied come on top. */
  outboxRows: number;
  readonly outboxTimes: OutboxTimes;
  /** A transaction failed half way: memory may differ from the ledger, and must be dropped. */
  poisoned = false;
  private readonly flowsByName = new Map<string, Flow>();
  private readonly versions = new Map<number, JobVersion>();
  private readonly storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage, ledger: Ledger, settings: LaneSettings) {
    this.storage = storage;
    this.ledger = ledger;
    this.settings = settings;
    this.scheduler = new Scheduler({
      nextPage: (flow) => {
        const page = ledger.firstPage(flow);
        if (page === null) return null;
        return { ...page, seqs: page.seqs.filter((seq) => !this.held.has(seq)) };
      },
      dropPage: (flow, ord) => ledger.deletePage(flow, ord),
      dropHead: (flow, seq) => ledger.deleteHead(flow, seq),
      emptied: (flow) => this.dropEmptyFlow(flow),
    });
    const state = ledger.loadLane();
    this.state =
      state === null
        ? structuredClone(EMPTY_LANE)
        : { ...structuredClone(EMPTY_LANE), ...(JSON.parse(state) as LaneState) };
    this.config = ledger.loadConfig();
    this.limits = new Limits(ledger);
    this.limits.configure(this.config);
    this.limits.load(this.state.clock);
    this.outboxRows = countOutbox(ledger);
    this.outboxTimes = new OutboxTimes(ledger);
    this.load();
  }

  private load(): void {
    for (const row of this.ledger.all("SELECT doc FROM batches")) {
      const batch = JSON.parse(row.doc as string) as Batch;
      this.batches.set(batch.seq, batch);
      this.openBatches.set(batch.seq, neglectedAt(batch));
    }
    for (const lease of loadLeases(this.ledger)) {
      this.leases.set(lease.nonce, lease);
      for (const held of lease.held.values()) {
        this.hold(held);
        this.limits.restore(held);
      }
    }
    for (const row of this.ledger.all("SELECT doc FROM sweeps")) {
      const sweep = JSON.parse(row.doc as string) as Sweep;
      this.sweeps.set(sweep.id, sweep);
    }
    for (const f of this.ledger.flows()) {
      const flow = this.scheduler.addFlow({ ...f, key: f.ckey });
      this.flowsByName.set(flowName(f.priority, f.batch, f.limits, f.ckey), flow);
    }
    for (const { flow, n } of this.ledger.pageCounts()) {
      const known = this.scheduler.flows.get(flow);
      if (known) this.scheduler.appended(known, n - this.trimFirstPage(flow));
    }
    for (const { flow, seq } of this.ledger.heads()) {
      const known = this.scheduler.flows.get(flow);
      if (known) this.scheduler.putHead(known, seq);
    }
    for (const flow of [...this.scheduler.flows.values()]) if (flow.count <= 0) this.dropEmptyFlow(flow);
  }

  /** A first page may have been used in part before the restart. Returns how many of its runs stand there no more. */
  private trimFirstPage(flow: number): number {
    const page = this.ledger.firstPage(flow);
    if (page === null) return 0;
    const left = page.seqs.filter((seq) => !this.held.has(seq)).length;
    if (left === 0) this.ledger.deletePage(flow, page.ord);
    else if (left < page.n) this.ledger.setPageCount(flow, page.ord, left);
    return page.n - left;
  }

  /**
   * One transaction: `work` decides, then everything pending is written with it.
   *
   * @throws whatever `work` throws; the ledger is as before, and this object must not be used again.
   */
  transact<T>(now: number, work: () => T): T {
    try {
      return this.storage.transactionSync(() => {
        this.state.clock = now;
        this.state.ver += 1;
        this.wakeRefilled(now);
        const result = work();
        this.wakeRefilled(now);
        this.save(now);
        return result;
      });
    } catch (error) {
      this.poisoned = true;
      throw error;
    }
  }

  private save(now: number): void {
    this.forgetEnded();
    const p = this.pending;
    this.pending = nothingPending();
    this.committed = p;
    for (const lease of p.leases) {
      if (this.leases.has(lease.nonce)) {
        this.ledger.run(
          "INSERT INTO leases VALUES (?, ?) ON CONFLICT (nonce) DO UPDATE SET doc = excluded.doc",
          lease.nonce,
          leaseDoc(lease),
        );
      } else this.ledger.run("DELETE FROM leases WHERE nonce = ?", lease.nonce);
    }
    for (const batch of p.batches) {
      stampChange(batch, this.state.ver, (this.config as JobConfig).number, now);
      announceBatch(p.notices, batch, this.config as JobConfig);
      this.openBatches.set(batch.seq, neglectedAt(batch));
      this.ledger.run(
        "INSERT INTO batches VALUES (?, ?) ON CONFLICT (seq) DO UPDATE SET doc = excluded.doc",
        batch.seq,
        JSON.stringify(batch),
      );
    }
    this.limits.save(now);
    this.outboxRows += appendOutbox(this.ledger, this.outboxTimes, Math.min(now, p.since), outboxBody(p));
    this.ledger.saveLane(stateText(this.state));
  }

  /** Runs that have ended leave their table, so that nothing later in this transaction reads them again. */
  forgetEnded(): void {
    this.ledger.deleteRuns(this.pending.deleted);
    this.pending.deleted = [];
  }

  // ------------------------------------------------------------------ versions and configuration

  version(version: number): JobVersion {
    const known = this.versions.get(version) ?? this.ledger.loadVersion(version);
    if (!known) throw new Error(`version ${version} was never told`);
    this.versions.set(version, known);
    return known;
  }

  get spec(): JobSpec {
    if (this.config === null) throw new Error("the lane was never configured");
    return this.config.current.spec;
  }

  /** Calls that may be in flight at once, now. */
  get concurrencyLimit(): number {
    const cap = this.settings.maxConcurrency;
    const limit = Math.min(this.config?.current.spec.max_concurrency ?? cap, cap);
    const rule = this.config?.current.spec.adaptive_concurrency ?? null;
    if (rule === null) return limit;
    return Math.min(limit, presentLimit(this.state.adaptive ?? startAdaptive(rule), rule));
  }

  get freePermits(): number {
    return Math.max(0, this.concurrencyLimit - this.held.size);
  }

  /** How many calls of any run may be granted now; see `gate` for what else holds them back. */
  room(now: number): number {
    if (gate(this, now) !== null) return 0;
    return this.state.breaker.kind === "closed" ? this.freePermits : Math.min(1, this.freePermits);
  }

  /** Paused and disabled jobs start nothing. */
  get mayStart(): boolean {
    const c = this.config;
    return c !== null && !c.paused && !c.deleted && c.current.spec.enabled;
  }

  /** The new configuration is in force from here on. */
  reconfigure(config: JobConfig): void {
    this.config = config;
    this.scheduler.reopenAll(this.limits.configure(config));
    if (config.current.spec.adaptive_concurrency === null) this.state.adaptive = null;
    if (config.current.spec.circuit_breaker === null) this.state.breaker = BREAKER_CLOSED;
  }

  // ------------------------------------------------------------------ counting

  /** A run moves between statuses; null on one side: it appears, or leaves the ledger. */
  move(batchSeq: number | null, from: RunStatus | null, to: RunStatus): void {
    if (from !== null && !isTerminal(from)) this.state.counts[from as Live] -= 1;
    if (!isTerminal(to)) this.state.counts[to as Live] += 1;
    const batch = batchSeq === null ? undefined : this.batches.get(batchSeq);
    if (!batch) return;
    if (from !== null) batch.counts[from] -= 1;
    batch.counts[to] += 1;
    this.pending.batches.add(batch);
    if (isTerminal(to)) this.stopBeyondThreshold(batch);
  }

  /** Nothing more of a batch starts once too much of it has failed. */
  stopBeyondThreshold(batch: Batch): void {
    if (batch.stopped || !exceedsThreshold(batch)) return;
    batch.stopped = true;
    this.pending.stopped.push(batch);
  }

  /** A living run has changed: its copy, if it has one or will have in a moment, is behind. */
  touch(seq: number): void {
    this.pending.noted.push(seq);
    if (seq <= Math.max(this.state.projectedSeq, this.copyingUpTo)) this.pending.touched.push(seq);
  }

  statusOf(run: LedgerRun): Live {
    const held = this.held.get(run.seq);
    if (held) return held.startedAt === null ? "dequeued" : "executing";
    return run.place === PLACE.due ? "delayed" : "queued";
  }

  // ------------------------------------------------------------------ permits

  hold(held: Held): void {
    this.held.set(held.seq, held);
    if (held.batch !== null) this.batchHeld.set(held.batch, (this.batchHeld.get(held.batch) ?? 0) + 1);
  }

  /** Frees a permit and wakes what waited for it. */
  release(held: Held): void {
    this.held.delete(held.seq);
    this.limits.release(held);
    if (held.key !== null) this.scheduler.wake(`key:${held.key}`);
    if (held.batch === null) return;
    const left = (this.batchHeld.get(held.batch) ?? 1) - 1;
    if (left > 0) this.batchHeld.set(held.batch, left);
    else this.batchHeld.delete(held.batch);
    this.scheduler.wake(`batch:${held.batch}`);
  }

  /** Windows that have room again let their flows go on. */
  wakeRefilled(now: number): void {
    for (const blocker of this.limits.refilled(now)) this.scheduler.wake(blocker);
    if (this.scheduler.isReopening) this.scheduler.reopen(REOPENED_AT_ONCE);
  }

  // ------------------------------------------------------------------ flows

  flow(priority: number, batch: number | null, limits: string | null, key: string | null): Flow {
    const name = flowName(priority, batch, limits, key);
    const known = this.flowsByName.get(name);
    if (known) return known;
    const id = this.state.nextFlow++;
    this.ledger.insertFlow(id, priority, key, batch, limits);
    const flow = this.scheduler.addFlow({ id, priority, key, batch, limits });
    this.flowsByName.set(name, flow);
    return flow;
  }

  flowOf(run: LedgerRun): Flow {
    const limits = run.doc.limits ? JSON.stringify(run.doc.limits) : null;
    return this.flow(run.doc.priority ?? 0, run.batch, limits, run.doc.ckey ?? null);
  }

  /** The line of keyless single runs is kept; every other empty flow is forgotten. */
  private dropEmptyFlow(flow: Flow): void {
    if (flow.batch === null && flow.key === null) return;
    this.forgetFlow(flow);
    this.ledger.deleteFlow(flow.id);
  }

  /** Takes a flow out of memory; the caller deletes its rows. */
  forgetFlow(flow: Flow): void {
    this.scheduler.removeFlow(flow);
    this.flowsByName.delete(flowName(flow.priority, flow.batch, flow.limits, flow.key));
  }

  /** Puts a waiting run at the head of its flow. The caller has counted the move, and writes the run. */
  placeAtHead(run: LedgerRun): void {
    run.place = PLACE.head;
    const flow = this.flowOf(run);
    this.ledger.insertHead(flow.id, run.seq);
    this.scheduler.putHead(flow, run.seq);
  }

  placeDue(run: LedgerRun, at: number): void {
    run.place = PLACE.due;
    this.ledger.insertDue(at, run.seq);
    if (run.doc.next !== undefined) this.state.retrying += 1;
  }

  /** Takes a waiting run out of its place. The caller deletes or rewrites its row. */
  takeOut(run: LedgerRun): void {
    if (run.place === PLACE.due) {
      this.ledger.deleteDue(dueAt(run), run.seq);
      if (run.doc.next !== undefined) this.state.retrying -= 1;
      return;
    }
    const flow = this.flowsByName.get(
      flowName(
        run.doc.priority ?? 0,
        run.batch,
        run.doc.limits ? JSON.stringify(run.doc.limits) : null,
        run.doc.ckey ?? null,
      ),
    );
    if (!flow) return;
    this.scheduler.removed(flow, run.seq);
    if (run.place === PLACE.head) this.ledger.deleteHead(flow.id, run.seq);
    else this.ledger.shrinkPage(flow.id, run.seq);
    if (flow.count <= 0) this.dropEmptyFlow(flow);
  }
}

/** When a delayed run is due: its next attempt, else its schedule. */
export const dueAt = (run: LedgerRun): number => run.doc.next ?? run.doc.scheduled ?? run.at;

const flowName = (priority: number, batch: number | null, limits: string | null, key: string | null): string =>
  `${priority}|${batch ?? ""}|${limits ?? ""}|${key ?? ""}|${key === null ? 0 : 1}`;
