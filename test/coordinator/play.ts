import { expect } from "vitest";
import type {
  AcceptAnswer,
  AcceptItem,
  CallGrant,
  ExchangeAnswer,
  ExchangeRequest,
  ItemOutcome,
  JobConfig,
  RejectedItem,
} from "../../src/coordinator/protocol.ts";
import { isRejected } from "../../src/coordinator/protocol.ts";
import type { BatchRecord } from "../../src/domain/batch.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { JobSpec } from "../../src/domain/job.ts";
import { isTerminal } from "../../src/domain/run.ts";
import { Invocation } from "./consumer.ts";
import { isContended, type RefBatch, Reference, type RefRun } from "./reference.ts";
import { BIG, type ItemSeed, type Knobs, type ResultKind, type Step } from "./steps.ts";
import { World } from "./world.ts";

const SPEC: JobSpec = {
  group_id: null,
  environment_id: null,
  name: "job",
  slug: "job",
  description: null,
  tags: {},
  cron: null,
  timezone: "UTC",
  cron_overlap_policy: "allow",
  payload_schema: null,
  endpoint_url: "https://endpoint.example/",
  fallback_endpoint_url: null,
  endpoint_method: "POST",
  endpoint_headers: {},
  endpoint_signing_secret: null,
  success_statuses: null,
  retry_statuses: null,
  max_attempts: 3,
  timeout_secs: 300,
  retry_strategy: "fixed",
  retry_delays_secs: null,
  retry_base_secs: 1,
  retry_max_secs: 3600,
  retry_jitter: 0,
  on_lost: "retry",
  max_concurrency: 3,
  max_concurrency_per_key: null,
  concurrency_key_from: null,
  rate_limit_max: null,
  rate_limit_window_secs: null,
  rate_limit_keys: [],
  hold_on_retry_after: false,
  adaptive_concurrency: null,
  circuit_breaker: null,
  dedup_window_secs: null,
  execution_window_cron: null,
  run_ttl_secs: null,
  default_run_metadata: {},
  enabled: true,
  webhook_url: null,
  webhook_secret: null,
  on_complete_trigger_workflow: null,
  on_complete_payload_mapping: null,
  version_policy: "pin",
  backwards_compatible: true,
};

const REJECTION: RejectedItem = { error: { code: "validation_failed", message: "bad", details: [] } };
/** It goes to R2. */
const BIG_PAYLOAD = JSON.stringify({ text: "é".repeat(17_000) });
const SLOTS = 3;

type PageTurn =
  | (Step & { do: "close" })
  | (Step & { do: "seal" })
  | { do: "resume"; which: number }
  | { do: "release"; which: number };

const at = <T>(list: readonly T[], which: number): T | undefined => list[which % list.length];

/** Plays steps against the real object and the reference side by side, and compares. */
export class Play {
  readonly world: World;
  readonly reference: Reference;
  readonly width: number;
  readonly number: number;
  readonly slots: (Invocation | null)[] = Array.from({ length: SLOTS }, () => null);
  readonly ghosts: Invocation[] = [];
  /** `finished_at` as first seen, by batch id. */
  readonly ends = new Map<string, number>();
  private readonly versOfBatches = new Map<string, number>();
  private requests = new Map<string, { batch: RefBatch; answered: boolean }>();
  private names = 0;
  trace = false;
  private d1BadSince: number | null = null;

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

  private get config(): JobConfig {
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
        return this.single(step.items, step.revision);
      case "open":
        return this.open(step.max, step.threshold, step.request);
      case "chunk":
        return this.chunk(step);
      case "resume":
      case "release":
        return this.turnPage({ do: step.do, which: step.which } as PageTurn);
      case "close":
      case "seal":
        return this.turnPage(step);
      case "exchange":
        return this.exchange(step);
      case "die": {
        const slot = this.slots[step.slot];
        if (slot) this.kill(slot);
        return;
      }
      case "late":
        return this.late(step.which, step.result);
      case "cancel_runs":
        return this.cancelRuns(step.which);
      case "cancel_batch":
        return this.cancelBatch(step.which);
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
        await this.world.stub.sweep(this.world.bootId);
        this.reference.tick(this.now);
        return;
      case "lose_tickets":
        this.world.tickets.length = 0;
        return;
      case "reboot":
        return this.reboot();
      case "restart":
        return this.world.restart(step.crash);
      case "d1":
        if (step.mode !== "fine") this.d1BadSince ??= this.now;
        else this.d1BadSince = null;
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
      current: { version, version_id: `ver_${version}`, spec: { ...SPEC, ...before?.current.spec, ...knobs } },
    };
    const answer = await this.world.stub.configure(config);
    expect(answer).toEqual({ kind: "configured", revision: config.revision });
    if (stale) return;
    this.reference.config = config;
    this.reference.versions.set(version, config.current);
  }

  // ------------------------------------------------------------------ accepting

  private async single(seeds: ItemSeed[], off: number): Promise<void> {
    const items = seeds.map((seed) => this.item(seed));
    const revision = this.config.revision + off;
    const answer = await this.accept({ revision, items, versions: this.versionsOf(items) });
    if (off > 0) expect(answer).toEqual({ kind: "unknown_config" });
    else if (off < 0) expect(answer).toEqual({ kind: "stale_config", revision: this.config.revision });
    else if (!this.refuses(answer)) this.take(answer, items, null, 0);
  }

  private accept(
    part: Pick<Parameters<World["stub"]["accept"]>[0], "revision" | "items" | "versions" | "batch">,
  ): Promise<AcceptAnswer> {
    const origin = { triggered_by: "bulk" as const, created_by: "tester", traceparent: null };
    return this.world.stub.accept({ ...origin, ...part });
  }

  private versionsOf(items: (AcceptItem | RejectedItem)[]) {
    const named = items.flatMap((item) => (isRejected(item) || item.version === undefined ? [] : [item.version]));
    return named.map((version) => this.reference.version(version));
  }

  private item(seed: ItemSeed): AcceptItem | RejectedItem {
    if (seed.rejected) return REJECTION;
    const item: AcceptItem = { payload: seed.payload === BIG ? BIG_PAYLOAD : seed.payload };
    if (seed.identity !== null) item.identity = `k:${seed.identity}`;
    if (seed.priority > 0) item.priority = seed.priority;
    if (seed.key !== null) item.concurrency_key = seed.key;
    if (seed.later !== null) item.scheduled_at = this.now + seed.later * 1000;
    if (seed.ttl !== null) item.ttl_secs = seed.ttl;
    if (seed.max !== null) item.max_attempts = seed.max;
    const versions = [...this.reference.versions.keys()].reverse();
    if (seed.version !== null) item.version = at(versions, seed.version) as number;
    return item;
  }

  /** Whether nothing may be accepted now; says so if that is what was answered, and fails if it is not. */
  private refuses(answer: { kind: string }): boolean {
    if (!this.config.current.spec.enabled) {
      expect(answer).toEqual({ kind: "disabled" });
      return true;
    }
    if (answer.kind !== "overloaded") return false;
    expect(this.now - (this.d1BadSince ?? this.now)).toBeGreaterThan(15 * 60_000 - 1_000);
    return true;
  }

  /** Compares outcomes with what the rules say, and remembers what was created. */
  private take(
    answer: AcceptAnswer,
    items: (AcceptItem | RejectedItem)[],
    batch: RefBatch | null,
    firstIndex: number,
  ): ItemOutcome[] {
    if (answer.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(answer)}`);
    const outcomes = answer.outcomes.slice(answer.outcomes.length - items.length);
    expect(outcomes.length).toBe(items.length);
    const window = (this.config.current.spec.dedup_window_secs ?? 86_400) * 1000;
    items.forEach((item, i) => {
      const outcome = outcomes[i] as ItemOutcome;
      const earlier = isRejected(item) || !item.identity ? undefined : this.reference.seen.get(item.identity);
      if (isRejected(item)) expect(outcome).toEqual({ o: "rejected", error: item.error });
      else if (earlier && earlier.at > this.now - window) {
        const of = ledgerId({ ...earlier, lane: 0, job: this.number });
        expect(outcome).toMatchObject({ o: "duplicate", of });
      } else this.create(item, outcome, batch, batch === null ? null : firstIndex + i);
    });
    return outcomes;
  }

  private create(item: AcceptItem, outcome: ItemOutcome, batch: RefBatch | null, index: number | null): void {
    const isLater = item.scheduled_at !== undefined && item.scheduled_at > this.now;
    const status = isLater ? "delayed" : "queued";
    expect(outcome).toMatchObject({ o: "created", at: this.now, status });
    if (outcome.o !== "created") return;
    const { seq } = outcome;
    expect(seq).toBeGreaterThan(this.reference.runs[this.reference.runs.length - 1]?.seq ?? 0);
    const version = item.version ?? this.config.current.version;
    const ttl = item.ttl_secs ?? this.reference.version(version).spec.run_ttl_secs;
    const due = isLater ? (item.scheduled_at as number) : this.now;
    if (item.identity !== undefined) this.reference.seen.set(item.identity, { seq, at: this.now });
    this.reference.runs.push({
      id: ledgerId({ at: this.now, seq, lane: 0, job: this.number }),
      seq,
      at: this.now,
      batch,
      index,
      payload: item.payload,
      priority: item.priority ?? 0,
      key: item.concurrency_key ?? null,
      expires: ttl === null ? null : due + ttl * 1000,
      max: item.max_attempts ?? null,
      version,
      pinned: item.version !== undefined,
      status,
      attempt: 0,
      lost: 0,
      fallback: false,
      started: false,
      due,
      head: false,
    });
  }

  private async open(max: number | null, threshold: number | null, request: number | null): Promise<void> {
    const failure_threshold = threshold === null ? null : { percent: threshold, min_items: 2 };
    const key = request === null ? null : `request-${request}`;
    const answer = await this.world.stub.openBatch({
      revision: this.config.revision,
      created_by: "tester",
      traceparent: null,
      triggered_by: "bulk",
      options: { max_concurrency: max, failure_threshold, metadata: {}, webhook_url: null, webhook_secret: null },
      request: key === null ? null : { key, fingerprint: "same" },
    });
    if (this.refuses(answer)) return;
    const known = key === null ? undefined : this.requests.get(key);
    if (known?.answered) {
      expect(answer).toMatchObject({ kind: "answered", batch_id: known.batch.id });
      return;
    }
    if (known && !known.batch.sealed) {
      const { batch } = known;
      const isRunning = !batch.released && batch.boot === this.world.bootId && this.now - batch.lastPart < 10_000;
      if (isRunning) {
        expect(answer).toMatchObject({ kind: "running" });
        return;
      }
      this.takePen(batch);
      const item_count = batch.outcomes.length;
      expect(answer).toEqual({ kind: "opened", batch_id: batch.id, epoch: batch.epoch, item_count, resumed: true });
      return;
    }
    if (answer.kind !== "opened") throw new Error(`not opened: ${JSON.stringify(answer)}`);
    expect(answer).toMatchObject({ epoch: 1, item_count: 0, resumed: false });
    const batch: RefBatch = {
      id: answer.batch_id,
      seq: this.reference.batches.length,
      epoch: 1,
      sealed: false,
      canceled: false,
      stopped: false,
      max,
      threshold: failure_threshold,
      hashes: [],
      outcomes: [],
      lastPart: this.now,
      released: false,
      boot: this.world.bootId,
      finishedAt: null,
    };
    this.reference.batches.push(batch);
    if (key !== null) this.requests.set(key, { batch, answered: false });
  }

  private takePen(batch: RefBatch): void {
    batch.epoch += 1;
    batch.released = false;
    batch.boot = this.world.bootId;
    batch.lastPart = this.now;
  }

  private batch(which: number): RefBatch | undefined {
    return at(this.reference.batches, which);
  }

  private async chunk({ which, items: seeds, kind }: Step & { do: "chunk" }): Promise<void> {
    const batch = this.batch(which);
    if (!batch) return;
    const count = batch.outcomes.length;
    const back =
      kind === "next" || kind === "stale_epoch" || kind === "gap" ? 0 : Math.min(count, 1 + (seeds.length % 5));
    const first = kind === "gap" ? count + 1 : count - back;
    const fresh = kind === "repeat" ? [] : seeds.map((seed) => this.item(seed));
    const hashes = batch.hashes.slice(first, count);
    for (let i = 0; i < fresh.length; i++) hashes.push(`${batch.seq}/${count + i}`);
    const isConflict = kind === "conflict" && back > 0;
    if (isConflict) hashes[0] = "other bytes";
    const items = [...Array.from({ length: back }, (): AcceptItem => ({ payload: "repeated" })), ...fresh];
    if (items.length === 0) return;
    const epoch = kind === "stale_epoch" ? batch.epoch - 1 : batch.epoch;
    const { revision } = this.config;
    const part = { id: batch.id, epoch, first_index: first, hashes };
    const answer = await this.accept({ revision, items, versions: this.versionsOf(fresh), batch: part });
    if (this.refuses(answer)) return;
    if (batch.finishedAt !== null && answer.kind === "not_found") return;
    if (kind === "stale_epoch") expect(answer).toEqual({ kind: "fenced" });
    else if (batch.sealed || batch.stopped) expect(answer).toEqual({ kind: "sealed", item_count: count });
    else if (kind === "gap") expect(answer).toEqual({ kind: "gap", item_count: count });
    else if (isConflict) expect(answer).toEqual({ kind: "conflict", index: first });
    else {
      const outcomes = this.take(answer, fresh, batch, count);
      if (answer.kind === "accepted") expect(answer.outcomes.slice(0, back)).toEqual(batch.outcomes.slice(first));
      batch.outcomes.push(...outcomes);
      batch.hashes.push(...hashes.slice(back));
      batch.lastPart = this.now;
      batch.released = false;
    }
  }

  private async turnPage(step: PageTurn): Promise<void> {
    const batch = this.batch(step.which);
    if (!batch) return;
    const { stub } = this.world;
    const item_count = batch.outcomes.length;
    if (step.do === "release") {
      await stub.releaseBatch(batch.id, batch.epoch);
      batch.released = true;
      return;
    }
    if (step.do === "resume") {
      const answer = await stub.resumeBatch(batch.id);
      if (batch.finishedAt !== null && answer.kind === "not_found") return;
      if (batch.sealed || batch.stopped) expect(answer).toEqual({ kind: "sealed", item_count });
      else {
        this.takePen(batch);
        expect(answer).toEqual({ kind: "resumed", epoch: batch.epoch, item_count });
      }
      return;
    }
    const expected = step.expect === "nothing" ? undefined : item_count + (step.expect === "wrong" ? 1 : 0);
    const body = { digest: "d", item_count, body: "{}" };
    const answer =
      step.do === "seal"
        ? await stub.sealBatch(batch.id, expected ?? null)
        : await stub.closeBatch({
            batch_id: batch.id,
            epoch: batch.epoch,
            seal: step.seal,
            expected_count: expected,
            answer: body,
          });
    if (batch.finishedAt !== null) {
      expect(["not_found", "sealed", "closed", "count_mismatch"]).toContain(answer.kind);
      if (step.do === "close" && answer.kind === "closed") this.answered(batch);
      return;
    }
    if (step.expect === "wrong") {
      expect(answer).toEqual({ kind: "count_mismatch", item_count });
      return;
    }
    if (step.do === "seal" || step.seal) batch.sealed = true;
    if (step.do === "close") {
      batch.released = true;
      this.answered(batch);
    }
    this.reference.conclude(this.now);
    if (answer.kind !== "closed") throw new Error(`not closed: ${JSON.stringify(answer)}`);
    this.watchBatch(answer.batch, batch);
  }

  private answered(batch: RefBatch): void {
    for (const request of this.requests.values()) if (request.batch === batch) request.answered = true;
  }

  // ------------------------------------------------------------------ steering

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

  private async patchBatch(step: Step & { do: "patch_batch" }): Promise<void> {
    const batch = this.batch(step.which);
    if (!batch) return;
    const { stub } = this.world;
    const before = await stub.getBatch(batch.id);
    const failure_threshold = step.threshold === null ? null : { percent: step.threshold, min_items: 2 };
    const if_ver = (before?.ver ?? 0) + (step.match ? 0 : 1);
    const answer = await stub.patchBatch(batch.id, { max_concurrency: step.max, failure_threshold, if_ver });
    if (before === null) expect(answer).toEqual({ kind: "not_found" });
    else if (!step.match) expect(answer).toEqual({ kind: "precondition_failed", ver: before.ver });
    else if (batch.finishedAt !== null) expect(answer).toEqual({ kind: "finished" });
    else {
      batch.max = step.max;
      batch.threshold = failure_threshold;
      if (answer.kind !== "batch") throw new Error(`not patched: ${JSON.stringify(answer)}`);
      expect(answer.batch.ver).toBeGreaterThan(before.ver);
      this.watchBatch(answer.batch, batch);
    }
  }

  // ------------------------------------------------------------------ delivering

  kill(invocation: Invocation): void {
    invocation.end();
    this.ghosts.push(invocation);
    const slot = this.slots.indexOf(invocation);
    if (slot !== -1) this.slots[slot] = null;
  }

  /** A new invocation comes with the oldest ticket; now and then a doubled one, which looks no different. */
  invocation(): Invocation {
    const ticket = this.world.tickets.shift()?.id ?? this.name("doubled");
    return new Invocation(this.name("nonce"), ticket, this.world.bootId, this.now);
  }

  private async exchange(step: Step & { do: "exchange" }): Promise<void> {
    let invocation = this.slots[step.slot] ?? null;
    if (invocation !== null && !invocation.isLive(this.now)) {
      this.kill(invocation);
      invocation = null;
    }
    invocation ??= this.invocation();
    this.slots[step.slot] = invocation;
    invocation.begin(step.begin, this.now);
    const want = Math.max(0, Math.min(step.want, this.width - invocation.calls.size));
    const request = invocation.unanswered ?? invocation.request(want, step.results, step.leaving, this.now);
    const answer = await this.send(invocation, request);
    if (step.lost) return;
    this.arrive(invocation, request, answer);
  }

  /** Sends, and compares the answer with the rules. */
  async send(invocation: Invocation, request: ExchangeRequest): Promise<ExchangeAnswer> {
    const answer = await this.world.stub.exchange(request);
    if (this.trace) console.log(this.now, JSON.stringify(request), JSON.stringify(answer));
    const expected = this.reference.exchange(request, this.now);
    if (expected.kind === "disowned") expect(answer).toEqual({ kind: "disowned" });
    else if (answer.kind !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
    else if (expected.kind === "again") {
      expect(answer.calls.map((c) => [c.seq, c.attempt])).toEqual(expected.calls.map((h) => [h.run.seq, h.attempt]));
    } else {
      this.grants(invocation, request, answer.calls);
      this.reference.forgetIdle(request.nonce);
    }
    this.reference.conclude(this.now);
    if (answer.kind === "granted") {
      const canceled = [...(this.reference.leases.get(request.nonce)?.held.values() ?? [])].filter((h) => h.canceled);
      expect([...answer.abort].sort()).toEqual(canceled.map((h) => h.run.seq).sort());
    }
    return answer;
  }

  private grants(invocation: Invocation, request: ExchangeRequest, calls: CallGrant[]): void {
    const lines = new Map<string, number>();
    let turn = 0;
    for (const call of calls) {
      const candidates = this.reference.candidates(this.now);
      const run = this.reference.runs.find((r) => r.seq === call.seq);
      if (run === undefined || !candidates.includes(run)) {
        const status = `${run?.status}, may go: ${candidates.map((r) => r.seq)}`;
        throw new Error(`run ${call.seq} was granted, which is ${status}`);
      }
      this.turns(run, candidates, lines, ++turn);
      const held = this.reference.grant(run, request);
      const { at: createdAt, attempt, fallback, version, payload, batch_index } = call;
      expect({ createdAt, attempt, fallback, version, payload, batch_index, batch_id: call.batch_id }).toEqual({
        createdAt: run.at,
        attempt: held.attempt,
        fallback: held.fallback,
        version: held.version,
        payload: run.payload,
        batch_index: run.index,
        batch_id: run.batch?.id ?? null,
      });
      expect(attempt).toBeLessThanOrEqual(this.reference.mostAttempts(run));
      this.nobodyElse(invocation, call);
    }
    // Work is conserved: what was not granted could not go.
    if (!request.leaving && calls.length < request.want) {
      expect(this.reference.candidates(this.now).map((run) => run.seq)).toEqual([]);
    }
    expect(calls.length).toBeLessThanOrEqual(request.want);
    if (calls.length > 0) this.permits(invocation, calls.length);
  }

  /** Lines take turns: none goes twice while another that could have gone waits. */
  private turns(run: RefRun, candidates: RefRun[], lines: Map<string, number>, turn: number): void {
    const line = (r: RefRun): string => `${r.priority}/${r.key ?? ""}`;
    const last = lines.get(line(run)) ?? 0;
    if (this.reference.mayExpireAtGrant(this.now).length > 0) return;
    for (const other of candidates) {
      if (!isContended(other)) expect(lines.get(line(other)) ?? 0).toBeGreaterThanOrEqual(last);
    }
    lines.set(line(run), turn);
  }

  private nobodyElse(invocation: Invocation, call: CallGrant): void {
    for (const other of this.slots) {
      if (other === null || other === invocation) continue;
      if (other.inFlight(this.now).some((c) => c.seq === call.seq))
        throw new Error(`${call.seq} is in flight elsewhere`);
    }
  }

  /** Permits as the endpoint sees them: calls that living consumers have in flight, these ones included. */
  private permits(invocation: Invocation, granted: number): void {
    const others = this.slots.flatMap((slot) => (slot === null ? [] : slot.inFlight(this.now)));
    expect(others.length + granted).toBeLessThanOrEqual(this.reference.maxConcurrency);
    expect(invocation.calls.size + granted).toBeLessThanOrEqual(this.width);
  }

  arrive(invocation: Invocation, request: ExchangeRequest, answer: ExchangeAnswer): void {
    if (answer.kind === "disowned") {
      this.kill(invocation);
      return;
    }
    invocation.acknowledged(answer.calls);
    if (request.leaving || invocation.calls.size === 0) {
      invocation.end();
      this.slots[this.slots.indexOf(invocation)] = null;
    }
  }

  /** A result of a consumer that is long dead still arrives. */
  private async late(which: number, result: ResultKind): Promise<void> {
    const ghost = at(this.ghosts, which);
    if (!ghost || ghost.calls.size === 0) return;
    await this.send(ghost, ghost.request(0, [result], false, this.now));
  }

  // ------------------------------------------------------------------ time

  /** Time passes, and every alarm fires when it is due. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    let atOnce = 0;
    for (;;) {
      const alarm = await this.world.alarm();
      if (alarm === null || alarm > until) break;
      atOnce = alarm > this.now ? 0 : atOnce + 1;
      if (atOnce > 20) throw new Error("the alarm goes off without end");
      this.world.setTime(Math.max(alarm, this.now));
      await this.world.fireDue();
      this.reference.tick(this.now);
    }
    this.world.setTime(until);
    const before = JSON.stringify(this.reference.runs.map((run) => run.status));
    this.reference.tick(this.now);
    expect(JSON.stringify(this.reference.runs.map((run) => run.status)), "an alarm was missing").toBe(before);
  }

  private async reboot(): Promise<void> {
    if (this.world.bootId === null) return;
    for (const slot of this.slots) if (slot !== null) this.kill(slot);
    await this.world.restart(true, this.name("boot"));
    this.reference.boot = this.world.bootId;
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
