import { expect } from "vitest";
import {
  type AcceptAnswer,
  type AcceptItem,
  type AcceptRequest,
  type ItemOutcome,
  isRejected,
  type RejectedItem,
} from "../../src/coordinator/protocol.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { RefBatch } from "./nouns.ts";
import { BATCH_HOOK, type Play } from "./play.ts";
import { BIG, type ItemSeed, type Step } from "./steps.ts";

const REJECTION: RejectedItem = { error: { code: "validation_failed", message: "bad", details: [] } };
/** It goes to R2. */
const BIG_PAYLOAD = JSON.stringify({ text: "é".repeat(17_000) });

export type PageTurn =
  | (Step & { do: "close" })
  | (Step & { do: "seal" })
  | { do: "resume"; which: number }
  | { do: "release"; which: number };

/** The requests that bring items, played and compared. */
export class Intake {
  private readonly play: Play;
  private readonly requests = new Map<string, { batch: RefBatch; answered: boolean }>();

  constructor(play: Play) {
    this.play = play;
  }

  async single(seeds: ItemSeed[], off: number): Promise<void> {
    const items = seeds.map((seed) => this.item(seed));
    const revision = this.play.config.revision + off;
    const request = { revision, items, versions: this.versionsOf(items) };
    const rehearsed = await this.accept({ ...request, dry_run: true });
    const answer = await this.accept(request);
    // What would happen is what happens. One item alone also says what it waits for.
    if (items.length === 1) expect(rehearsed).toEqual(answer);
    else expect({ ...rehearsed, outcomes: [] }).toEqual({ ...answer, outcomes: [] });
    if (off > 0) expect(answer).toEqual({ kind: "unknown_config" });
    else if (off < 0) expect(answer).toEqual({ kind: "stale_config", revision: this.play.config.revision });
    else if (!this.refuses(answer)) this.take(answer, items, null, 0);
  }

  private accept(
    part: Pick<AcceptRequest, "revision" | "items" | "versions" | "batch" | "dry_run">,
  ): Promise<AcceptAnswer> {
    const origin = { triggered_by: "bulk" as const, created_by: "tester", traceparent: null };
    return this.play.world.stub.accept({ ...origin, ...part });
  }

  private versionsOf(items: (AcceptItem | RejectedItem)[]) {
    const named = items.flatMap((item) => (isRejected(item) || item.version === undefined ? [] : [item.version]));
    return named.map((version) => this.play.reference.version(version));
  }

  private item(seed: ItemSeed): AcceptItem | RejectedItem {
    if (seed.rejected) return REJECTION;
    const item: AcceptItem = { payload: seed.payload === BIG ? BIG_PAYLOAD : seed.payload };
    if (seed.identity !== null) item.identity = `k:${seed.identity}`;
    if (seed.priority > 0) item.priority = seed.priority;
    if (seed.key !== null) item.concurrency_key = seed.key;
    if (seed.limits !== null) item.rate_limit_keys = seed.limits;
    if (seed.later !== null) item.scheduled_at = this.play.now + seed.later * 1000;
    if (seed.ttl !== null) item.ttl_secs = seed.ttl;
    if (seed.max !== null) item.max_attempts = seed.max;
    const versions = [...this.play.reference.versions.keys()].reverse();
    if (seed.version !== null) item.version = versions[seed.version % versions.length] as number;
    return item;
  }

  /** Whether nothing may be accepted now; says so if that is what was answered, and fails if it is not. */
  private refuses(answer: { kind: string }): boolean {
    if (!this.play.config.current.spec.enabled) {
      expect(answer).toEqual({ kind: "disabled" });
      return true;
    }
    if (answer.kind !== "overloaded") return false;
    expect(this.play.now - (this.play.d1BadSince ?? this.play.now)).toBeGreaterThan(15 * 60_000 - 1_000);
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
    const window = (this.play.config.current.spec.dedup_window_secs ?? 86_400) * 1000;
    items.forEach((item, i) => {
      const outcome = outcomes[i] as ItemOutcome;
      const earlier = isRejected(item) || !item.identity ? undefined : this.play.reference.seen.get(item.identity);
      if (isRejected(item)) expect(outcome).toEqual({ o: "rejected", error: item.error });
      else if (earlier && earlier.at > this.play.now - window) {
        const of = ledgerId({ ...earlier, lane: 0, job: this.play.number });
        expect(outcome).toMatchObject({ o: "duplicate", of });
      } else this.create(item, outcome, batch, batch === null ? null : firstIndex + i);
    });
    return outcomes;
  }

  private create(item: AcceptItem, outcome: ItemOutcome, batch: RefBatch | null, index: number | null): void {
    const isLater = item.scheduled_at !== undefined && item.scheduled_at > this.play.now;
    const status = isLater ? "delayed" : "queued";
    expect(outcome).toMatchObject({ o: "created", at: this.play.now, status });
    if (outcome.o !== "created") return;
    const { seq } = outcome;
    expect(seq).toBeGreaterThan(this.play.reference.runs[this.play.reference.runs.length - 1]?.seq ?? 0);
    const version = item.version ?? this.play.config.current.version;
    const ttl = item.ttl_secs ?? this.play.reference.version(version).spec.run_ttl_secs;
    const due = isLater ? (item.scheduled_at as number) : this.play.now;
    if (item.identity !== undefined) this.play.reference.seen.set(item.identity, { seq, at: this.play.now });
    this.play.reference.runs.push({
      id: ledgerId({ at: this.play.now, seq, lane: 0, job: this.play.number }),
      seq,
      at: this.play.now,
      batch,
      index,
      payload: item.payload,
      priority: item.priority ?? 0,
      key: item.concurrency_key ?? null,
      limits: item.rate_limit_keys ?? null,
      expires: ttl === null ? null : due + ttl * 1000,
      max: item.max_attempts ?? null,
      version,
      triggered: version,
      pinned: item.version !== undefined,
      status,
      attempt: 0,
      lost: 0,
      fallback: false,
      started: false,
      due,
      returned: false,
      head: false,
    });
  }

  async open(max: number | null, threshold: number | null, request: number | null): Promise<void> {
    const failure_threshold = threshold === null ? null : { percent: threshold, min_items: 2 };
    const key = request === null ? null : `request-${request}`;
    const hooked = request === null;
    const answer = await this.play.world.stub.openBatch({
      revision: this.play.config.revision,
      created_by: "tester",
      traceparent: null,
      triggered_by: "bulk",
      options: {
        max_concurrency: max,
        failure_threshold,
        metadata: {},
        webhook_url: hooked ? BATCH_HOOK : null,
        webhook_secret: hooked ? "sealed" : null,
      },
      request: key === null ? null : { key, fingerprint: "same" },
    });
    if (this.refuses(answer)) return;
    const known = key === null ? undefined : this.requests.get(key);
    if (known?.answered) {
      expect(answer).toMatchObject({ kind: "answered", batch_id: known.batch.id });
      return;
    }
    if (known?.batch.sealed) {
      expect(answer).toEqual({ kind: "closed", batch_id: known.batch.id });
      return;
    }
    if (known) {
      const { batch } = known;
      const isRunning =
        !batch.released && batch.boot === this.play.world.bootId && this.play.now - batch.lastPart < 10_000;
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
      seq: this.play.reference.batches.length,
      epoch: 1,
      sealed: false,
      canceled: false,
      paused: false,
      stopped: false,
      max,
      threshold: failure_threshold,
      hashes: [],
      outcomes: [],
      lastPart: this.play.now,
      released: false,
      boot: this.play.world.bootId,
      finishedAt: null,
      hooked,
    };
    this.play.reference.batches.push(batch);
    if (key !== null) this.requests.set(key, { batch, answered: false });
  }

  private takePen(batch: RefBatch): void {
    batch.epoch += 1;
    batch.released = false;
    batch.boot = this.play.world.bootId;
    batch.lastPart = this.play.now;
  }

  async chunk({ which, items: seeds, kind }: Step & { do: "chunk" }): Promise<void> {
    const batch = this.play.batch(which);
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
    const { revision } = this.play.config;
    const part = { id: batch.id, epoch, first_index: first, hashes };
    const answer = await this.accept({ revision, items, versions: this.versionsOf(fresh), batch: part });
    if (this.refuses(answer)) return;
    if (batch.finishedAt !== null && answer.kind === "not_found") return;
    if (batch.sealed || batch.stopped) expect(answer).toEqual({ kind: "sealed", item_count: count });
    else if (kind === "stale_epoch") expect(answer).toEqual({ kind: "fenced" });
    else if (kind === "gap") expect(answer).toEqual({ kind: "gap", item_count: count });
    else if (isConflict) expect(answer).toEqual({ kind: "conflict", index: first });
    else {
      const outcomes = this.take(answer, fresh, batch, count);
      if (answer.kind === "accepted") expect(answer.outcomes.slice(0, back)).toEqual(batch.outcomes.slice(first));
      batch.outcomes.push(...outcomes);
      batch.hashes.push(...hashes.slice(back));
      batch.lastPart = this.play.now;
      batch.released = false;
    }
  }

  async turnPage(step: PageTurn): Promise<void> {
    const batch = this.play.batch(step.which);
    if (!batch) return;
    const { stub } = this.play.world;
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
    this.play.reference.conclude(this.play.now);
    if (answer.kind !== "closed") throw new Error(`not closed: ${JSON.stringify(answer)}`);
    this.play.watchBatch(answer.batch, batch);
  }

  private answered(batch: RefBatch): void {
    for (const request of this.requests.values()) if (request.batch === batch) request.answered = true;
  }
}
