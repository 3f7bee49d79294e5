import { type CallReport, type ExchangeRequest, type JobConfig, LEASE_MS } from "../../src/coordinator/protocol.ts";
import { type Counts, failedCount, zeroCounts } from "../../src/domain/batch.ts";
import type { JobSpec, JobVersion } from "../../src/domain/job.ts";
import { isTerminal, type RunStatus } from "../../src/domain/run.ts";
import { type Settlement, settle } from "../../src/domain/settlement.ts";
import type { Expected, RefBatch, RefHeld, RefLease, RefRun } from "./nouns.ts";
import { firstOfLine } from "./order.ts";
import { openingFrom, type Reason, ReferenceLimits } from "./reference-limits.ts";

/** A restart of the local runtime is noticed within this. */
const BOOT_NOTICED_MS = 1_000;

/** The lane as a page of rules, without pages, flows, outbox or restarts. It scans, because here that is clear. */
export class Reference {
  config: JobConfig | null = null;
  readonly versions = new Map<number, JobVersion>();
  readonly runs: RefRun[] = [];
  readonly batches: RefBatch[] = [];
  readonly seen = new Map<string, { seq: number; at: number }>();
  readonly leases = new Map<string, RefLease>();
  private boot: string | null;
  private bootedAt = 0;
  readonly limits = new ReferenceLimits();

  constructor(boot: string | null) {
    this.boot = boot;
  }

  get maxConcurrency(): number {
    return this.limits.maxConcurrency(this.spec);
  }

  get spec(): JobSpec {
    if (this.config === null) throw new Error("never configured");
    return this.config.current.spec;
  }

  get mayStart(): boolean {
    const c = this.config;
    return c !== null && !c.paused && !c.deleted && c.current.spec.enabled;
  }

  version(n: number): JobVersion {
    const version = this.versions.get(n);
    if (!version) throw new Error(`no version ${n}`);
    return version;
  }

  /** A version may allow fewer attempts than a run has had by another. */
  mostAttempts(run: RefRun): number {
    return run.max ?? Math.max(...[...this.versions.values()].map(({ spec }) => spec.max_attempts));
  }

  // ------------------------------------------------------------------ counts

  held(): RefHeld[] {
    return [...this.leases.values()].flatMap((lease) => [...lease.held.values()]);
  }

  get freePermits(): number {
    return Math.max(0, this.maxConcurrency - this.held().length);
  }

  heldOf(batch: RefBatch): number {
    return this.held().filter((h) => h.run.batch === batch).length;
  }

  heldOfKey(key: string): number {
    return this.held().filter((h) => h.run.key === key).length;
  }

  runsOf(batch: RefBatch): RefRun[] {
    return this.runs.filter((run) => run.batch === batch);
  }

  counts(batch: RefBatch): Counts {
    const counts = zeroCounts();
    for (const run of this.runsOf(batch)) counts[run.status] += 1;
    return counts;
  }

  waiting(): RefRun[] {
    return this.runs.filter(({ status }) => status === "queued" || status === "delayed");
  }

  // ------------------------------------------------------------------ ends and returns

  private end(run: RefRun, status: RunStatus): void {
    if (isTerminal(run.status)) throw new Error(`run ${run.seq} ends as ${status}, and was ${run.status}`);
    run.status = status;
    if (run.batch !== null) this.stopBeyondThreshold(run.batch);
  }

  stopBeyondThreshold(batch: RefBatch): void {
    if (batch.stopped || batch.threshold === null) return;
    const counts = this.counts(batch);
    const failed = failedCount(counts);
    const finished = failed + counts.completed;
    if (finished >= batch.threshold.min_items && failed * 100 > batch.threshold.percent * finished) {
      batch.stopped = true;
    }
  }

  /** What follows every transaction: stopped batches are emptied, ends are stamped. */
  conclude(now: number): void {
    for (const batch of this.batches) {
      if (batch.stopped) {
        batch.sealed = true;
        this.cancelWaiting((run) => run.batch === batch);
      }
      const counts = this.counts(batch);
      const alive = counts.delayed + counts.queued + counts.dequeued + counts.executing;
      if (batch.sealed && alive === 0) batch.finishedAt ??= now;
    }
  }

  cancelWaiting(which: (run: RefRun) => boolean): void {
    for (const run of this.waiting()) if (which(run)) this.end(run, "canceled");
  }

  cancelHeld(which: (held: RefHeld) => boolean): void {
    for (const held of this.held()) {
      if (held.canceled || !which(held)) continue;
      held.canceled = true;
      if (held.started) this.rememberStart(held);
      this.end(held.run, "canceled");
    }
  }

  cancelRun(run: RefRun): void {
    if (run.status === "queued" || run.status === "delayed") this.end(run, "canceled");
    else this.cancelHeld((h) => h.run === run);
  }

  /** By the job's policy, walking the line of versions one by one. */
  private versionFor(triggered: number, current: JobVersion): number {
    if (current.spec.version_policy === "pin") return triggered;
    if (current.spec.version_policy === "latest") return current.version;
    let reached = triggered;
    while (reached < current.version && this.version(reached + 1).spec.backwards_compatible) reached += 1;
    return reached;
  }

  private isDoomed(run: RefRun): boolean {
    return this.config?.deleted === true || (run.batch !== null && (run.batch.canceled || run.batch.stopped));
  }

  private rememberStart(held: RefHeld): void {
    held.run.started = true;
    held.run.version = held.version;
  }

  private settle(held: RefHeld, outcome: CallReport["outcome"] | { kind: "lost" }, now: number): void {
    const { run } = held;
    if (held.started) this.rememberStart(held);
    const { spec } = this.version(held.version);
    const s: Settlement = settle({
      rules: spec,
      attempt: held.attempt,
      max_attempts: run.max ?? spec.max_attempts,
      fallback: held.fallback,
      lost: run.lost,
      outcome,
      now,
      random: 0.5,
    });
    if (s.kind === "completed" || s.kind === "failed" || s.kind === "timed_out" || s.kind === "crashed") {
      run.attempt = held.attempt;
      this.end(run, s.kind);
      return;
    }
    if (s.kind === "retry") {
      run.attempt = held.attempt;
      run.fallback = false;
    }
    if (s.kind === "fallback" && !this.isDoomed(run)) run.fallback = true;
    if (outcome.kind === "lost") run.lost += 1;
    if (this.isDoomed(run)) {
      this.end(run, "canceled");
      return;
    }
    const due = s.kind === "retry" || s.kind === "again" ? s.at : now;
    run.status = due > now ? "delayed" : "queued";
    run.returned = true;
    run.due = due;
    run.head = true;
  }

  // ------------------------------------------------------------------ time

  /** Leases of the silent and of the dead are taken back. */
  reclaim(now: number): void {
    for (const lease of [...this.leases.values()]) {
      const dead = this.boot !== null && lease.boot !== this.boot;
      if (!dead && now - lease.receivedAt < LEASE_MS) continue;
      this.leases.delete(lease.nonce);
      for (const held of lease.held.values()) {
        this.vanish(held);
        if (!held.canceled) this.settle(held, { kind: "lost" }, now);
      }
    }
  }

  /** Its call may have begun. */
  private vanish(held: RefHeld): void {
    this.limits.settle(held, held.startBy);
    this.limits.vanished(held);
  }

  reboot(boot: string | null, now: number): void {
    this.boot = boot;
    this.bootedAt = now;
  }

  /** What should have happened by now of itself: an alarm that fires on time leaves nothing here. */
  overdue(now: number): string[] {
    const isOver = (lease: RefLease): boolean =>
      now - lease.receivedAt >= LEASE_MS ||
      (this.boot !== null && lease.boot !== this.boot && now - this.bootedAt >= BOOT_NOTICED_MS);
    return [
      ...[...this.leases.values()].flatMap((lease) => (isOver(lease) ? [`lease ${lease.nonce}`] : [])),
      ...this.waiting().flatMap((run) => (this.isExpired(run, now) ? [`expiry of ${run.seq}`] : [])),
      ...this.waiting().flatMap((run) => (run.status === "delayed" && run.due <= now ? [`due ${run.seq}`] : [])),
    ];
  }

  /** What the alarm does. */
  tick(now: number): void {
    this.reclaim(now);
    for (const run of this.waiting()) if (this.isExpired(run, now)) this.end(run, "expired");
    for (const run of this.waiting()) {
      if (run.status !== "delayed" || run.due > now) continue;
      run.status = "queued";
      run.head = true;
    }
    this.conclude(now);
  }

  isExpired(run: RefRun, now: number): boolean {
    return run.expires !== null && now >= run.expires && run.attempt === 0 && !run.started && !run.fallback;
  }

  // ------------------------------------------------------------------ exchanging

  exchange(request: ExchangeRequest, now: number): Expected {
    this.reclaim(now);
    const lease = this.leaseOf(request, now);
    if (lease === null) {
      for (const report of request.results) this.settleLate(report, now);
      return { kind: "disowned" };
    }
    if (lease.sequence === request.sequence) {
      const calls = [...lease.held.values()].filter((h) => h.sequence === request.sequence && !h.canceled);
      return { kind: "again", calls };
    }
    lease.sequence = request.sequence;
    lease.receivedAt = now;
    const toOurs = now - request.sent_at;
    const inFlight = this.held().length;
    for (const { seq, at } of request.started) {
      const held = lease.held.get(seq);
      if (held) this.markStarted(held, Math.min(at + toOurs, now));
    }
    for (const report of request.results) {
      const held = lease.held.get(report.seq);
      if (!held || held.attempt !== report.attempt || held.fallback !== report.fallback) continue;
      this.limits.learn(held, this.spec, this.version(held.version).spec, report, inFlight, now);
      const startedAt = report.started_at === null ? null : Math.min(report.started_at + toOurs, now);
      this.limits.settle(held, startedAt);
      if (held.canceled) this.limits.vanished(held);
      else if (startedAt !== null) this.markStarted(held, startedAt);
      lease.held.delete(report.seq);
      if (!held.canceled) this.settle(held, report.outcome, now);
    }
    if (request.leaving) {
      this.leases.delete(lease.nonce);
      for (const held of lease.held.values()) {
        this.limits.settle(held, held.canceled ? held.startBy : null);
        this.limits.vanished(held);
        if (!held.canceled) this.settle(held, { kind: "given_back", reason: "" }, now);
      }
    }
    return { kind: "fresh" };
  }

  private leaseOf(request: ExchangeRequest, now: number): RefLease | null {
    const known = this.leases.get(request.nonce);
    if (known) return request.sequence < known.sequence ? null : known;
    if (request.results.length > 0 || request.started.length > 0) return null;
    const lease: RefLease = {
      nonce: request.nonce,
      sequence: 0,
      receivedAt: now,
      boot: request.boot,
      held: new Map(),
    };
    this.leases.set(request.nonce, lease);
    return lease;
  }

  private markStarted(held: RefHeld, at: number): void {
    this.limits.settle(held, at);
    if (held.started) return;
    held.started = true;
    if (!held.canceled) held.run.status = "executing";
  }

  private settleLate(report: CallReport, now: number): void {
    const run = this.runs.find((r) => r.seq === report.seq);
    if (!run || (run.status !== "queued" && run.status !== "delayed")) return;
    if (run.attempt + 1 !== report.attempt || run.fallback !== report.fallback) return;
    if (report.outcome.kind === "given_back" || report.outcome.kind === "aborted") return;
    const { attempt, fallback } = report;
    const started = report.started_at !== null;
    const held: RefHeld = {
      ...{ run, attempt, fallback, version: run.version, sequence: 0, started, canceled: false },
      ...{ grantedAt: now, startBy: now, stamps: [] },
    };
    this.settle(held, report.outcome, now);
  }

  // ------------------------------------------------------------------ who may go, and who goes first

  /** What holds a queued run back that the whole job does not wait for; `concurrency` comes last. */
  private blocked(run: RefRun, now: number): Reason | null {
    const { batch, key } = run;
    if (batch !== null) {
      const isFull = batch.max !== null && this.heldOf(batch) >= batch.max;
      if (batch.canceled || batch.stopped || batch.paused || isFull) return { waitingFor: "batch", earliest: null };
    }
    const perKey = this.spec.max_concurrency_per_key;
    if (key !== null && perKey !== null && this.heldOfKey(key) >= perKey) return { waitingFor: "key", earliest: null };
    return this.limits.full(this.spec, run.limits, now);
  }

  private gate(now: number): Reason | null {
    return this.mayStart ? this.limits.gate(this.spec, now) : { waitingFor: "paused", earliest: null };
  }

  /** Why a run waits that is not in a consumer's hands, and when it can start. */
  reason(run: RefRun, now: number): Reason {
    const isRetry = run.attempt > 0 || run.lost > 0 || run.returned;
    const { waitingFor, earliest }: Reason =
      run.status === "delayed"
        ? { waitingFor: isRetry ? "retry" : "schedule", earliest: run.due }
        : (this.gate(now) ??
          this.blocked(run, now) ?? {
            waitingFor: this.freePermits === 0 ? "concurrency" : null,
            earliest: this.freePermits === 0 ? null : now,
          });
    if (earliest === null) return { waitingFor, earliest };
    const full = this.limits.full(this.spec, run.limits, now)?.earliest ?? now;
    const free = Math.max(earliest, full, this.limits.heldUntil(now));
    return { waitingFor, earliest: openingFrom(this.spec, free) };
  }

  /** When a delayed run can start at the earliest, if its rate windows have room by then. */
  dueFrom(run: RefRun, now: number): number {
    return openingFrom(this.spec, Math.max(run.due, this.limits.heldUntil(now)));
  }

  /** A run that no alarm has looked at may expire at the moment it would have gone, or wait for that. */
  mayExpireAtGrant(now: number): RefRun[] {
    return this.runs.filter((run) => run.status === "queued" && this.isExpired(run, now));
  }

  expire(run: RefRun): void {
    this.end(run, "expired");
  }

  /** The runs one of which must be granted next: the first of each line of the highest priority that can go. */
  candidates(now: number): RefRun[] {
    if (this.freePermits === 0 || this.gate(now) !== null) return [];
    const able = this.runs.filter(
      (run) => run.status === "queued" && !this.isExpired(run, now) && this.blocked(run, now) === null,
    );
    // One that expires at its grant holds a permit for a moment, and others overtake it.
    if (this.mayExpireAtGrant(now).length > 0) return able;
    const top = Math.max(...able.map((run) => run.priority));
    const lines = new Map<string, RefRun[]>();
    for (const run of able) {
      if (run.priority !== top) continue;
      const line = run.key ?? "";
      lines.set(line, [...(lines.get(line) ?? []), run]);
    }
    return [...lines.values()].map(firstOfLine);
  }

  grant(run: RefRun, request: ExchangeRequest, now: number): RefHeld {
    const lease = this.leases.get(request.nonce);
    if (!lease || !this.config) throw new Error("a grant without a lease");
    run.status = "dequeued";
    const version = run.pinned || run.fallback ? run.version : this.versionFor(run.triggered, this.config.current);
    const held: RefHeld = {
      run,
      attempt: run.attempt + 1,
      fallback: run.fallback,
      version,
      sequence: request.sequence,
      started: false,
      canceled: false,
      grantedAt: now,
      startBy: now,
      stamps: [],
    };
    this.limits.draw(held, this.spec, now);
    lease.held.set(run.seq, held);
    return held;
  }

  /** A lease that holds nothing is forgotten. */
  forgetIdle(nonce: string): void {
    if (this.leases.get(nonce)?.held.size === 0) this.leases.delete(nonce);
  }
}
