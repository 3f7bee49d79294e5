import {
  type CallGrant,
  type CallOutcome,
  type CallPlan,
  type CallReport,
  CONSUMER_SILENCE_MS,
  type ExchangeAnswer,
  type ExchangeRequest,
  HEARTBEAT_MS,
} from "../coordinator/protocol.ts";
import type { CallInFlight } from "./call.ts";
import { ReportTray } from "./report-tray.ts";

/** The job that a ticket led to, as the coordinator names it. */
export type GrantedJob = Extract<ExchangeAnswer, { kind: "granted" }>["job"];

/** What a grant has become: a call that can begin, or an outcome without one. */
export type Prepared =
  | {
      kind: "ready";
      begin(): CallInFlight;
      /** The job's environment gives it a fallback. */
      environmentFallback?: boolean;
    }
  | { kind: "ended"; outcome: CallOutcome };

/** Time, so that tests can own it. */
export interface Clock {
  /** Unix milliseconds. */
  now(): number;
  /** Calls back once, after so many milliseconds; the answer takes it back. */
  after(ms: number, callback: () => void): () => void;
}

export interface PumpDeps {
  exchange(request: ExchangeRequest): Promise<ExchangeAnswer>;
  /** Opens what a call needs. `plan` is absent where the coordinator never sent it. */
  prepare(grant: CallGrant, plan: CallPlan | undefined, job: GrantedJob): Promise<Prepared>;
  clock: Clock;
  /** Hears of every fault of ours: an exchange that failed and will be tried again, or a run's call that could not be made. */
  fault(error: unknown, run?: { grant: CallGrant; job: GrantedJob }): void;
  ticket: string;
  nonce: string;
  boot: string | null;
  /** Calls in flight at most. */
  width: number;
  /** No new lease is asked for after this long; the calls in flight are finished. */
  leave_after_ms: number;
}

/**
 * `done`: everything granted was reported. `disowned`: the runs belong to others now. `silenced`: the coordinator did not
 * acknowledge anything for `CONSUMER_SILENCE_MS`, so it may have given the runs to others.
 */
export type PumpEnd = "done" | "disowned" | "silenced";

/** Results travel as soon as this many wait (or half of the width), or the oldest has waited this long. */
const BATCH = 25;
const RESULT_WAIT_MS = 3;
/** With nothing to do, work is waited for so long before the invocation ends. */
const PATIENCE_MS = 400;
/** A call that has begun is told after this long, so that `executing` is seen. */
const START_WAIT_MS = 100;
const BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 1_000;
/** A run that could not be called through a fault of ours waits this long, or it would go round and round. */
export const FAULT_DELAY_MS = 5_000;

interface Slot {
  grant: CallGrant;
  call: CallInFlight | null;
  canceled: boolean;
  environmentFallback: boolean;
}

/** Runs one ticket to its end: asks for work, makes the calls, reports; never more than `width` calls at once. */
export const pump = (deps: PumpDeps): Promise<PumpEnd> =>
  new Promise((resolve) => {
    new Pump(deps, resolve).tick();
  });

class Pump {
  readonly #deps: PumpDeps;
  readonly #resolve: (end: PumpEnd) => void;
  readonly #leaveAt: number;
  readonly #threshold: number;
  readonly #slots = new Map<number, Slot>();
  readonly #plans = new Map<number, CallPlan>();
  readonly #tray = new ReportTray();
  /** Calls begun, in flight, and not yet told; in the order of their beginning. */
  readonly #untold = new Map<number, number>();
  #sequence = 0;
  #exchanging = false;
  #ended = false;
  /** The sending of the last exchange, and of the last acknowledged one. */
  #sentAt: number;
  #acknowledgedAt: number;
  /** The earliest last. Later ones stay, for they will be needed: most of the time one waits for silence, one for results. */
  #timers: { at: number; cancel(): void }[] = [];

  constructor(deps: PumpDeps, resolve: (end: PumpEnd) => void) {
    this.#deps = deps;
    this.#resolve = resolve;
    this.#threshold = Math.min(BATCH, Math.ceil(deps.width / 2));
    const now = deps.clock.now();
    this.#leaveAt = now + deps.leave_after_ms;
    this.#sentAt = now;
    this.#acknowledgedAt = now;
  }

  /** Does what is due and sets the timer for what will be. Called after every change. */
  tick(): void {
    if (this.#ended) return;
    const now = this.#deps.clock.now();
    if (now >= this.#acknowledgedAt + CONSUMER_SILENCE_MS) {
      this.#end("silenced");
      return;
    }
    if (!this.#exchanging && now >= this.#exchangeAt(now)) this.#exchange(now);
    this.#wakeAt(Math.min(this.#exchangeAt(now), this.#acknowledgedAt + CONSUMER_SILENCE_MS));
  }

  /** When the next exchange is due; one is outstanding at a time. */
  #exchangeAt(now: number): number {
    if (this.#exchanging) return Number.POSITIVE_INFINITY;
    if (this.#tray.size >= this.#threshold) return now;
    if (this.#slots.size === 0) return now;
    let at = this.#sentAt + HEARTBEAT_MS;
    const oldest = this.#tray.oldestAt;
    if (oldest !== null) at = Math.min(at, oldest + RESULT_WAIT_MS);
    for (const startedAt of this.#untold.values()) return Math.min(at, startedAt + START_WAIT_MS);
    return at;
  }

  #wakeAt(at: number): void {
    const earliest = this.#timers[this.#timers.length - 1];
    if (earliest && earliest.at <= at) return;
    const { now, after } = this.#deps.clock;
    const cancel = after(Math.max(0, at - now()), () => {
      this.#timers.splice(this.#timers.indexOf(timer), 1);
      this.tick();
    });
    const timer = { at, cancel };
    this.#timers.push(timer);
  }

  #exchange(now: number): void {
    this.#exchanging = true;
    this.#sentAt = now;
    const results = this.#tray.take(now);
    const leaves = now >= this.#leaveAt;
    const request: ExchangeRequest = {
      ticket: this.#deps.ticket,
      nonce: this.#deps.nonce,
      sequence: ++this.#sequence,
      boot: this.#deps.boot,
      sent_at: now,
      // What stays in the tray keeps its slot, or a slow coordinator would let results pile up.
      want: leaves ? 0 : Math.max(0, this.#deps.width - this.#slots.size - this.#tray.size),
      plans: [...this.#plans.keys()],
      results,
      started: Array.from(this.#untold, ([seq, at]) => ({ seq, at })),
      leaving: leaves && this.#slots.size === 0 && this.#tray.size === 0,
    };
    if (!leaves && this.#slots.size === 0 && this.#tray.size === 0) request.patience_ms = PATIENCE_MS;
    this.#untold.clear();
    this.#ask(request, now, BACKOFF_MS);
  }

  /** The same request until it is answered: the coordinator knows it by its sequence number. */
  #ask(request: ExchangeRequest, sentAt: number, backoff: number): void {
    this.#deps.exchange(request).then(
      (answer) => this.#answered(sentAt, answer),
      (error: unknown) => {
        if (this.#ended) return;
        this.#deps.fault(error);
        this.#deps.clock.after(backoff, () => {
          if (!this.#ended) this.#ask(request, sentAt, Math.min(2 * backoff, MAX_BACKOFF_MS));
        });
      },
    );
  }

  #answered(sentAt: number, answer: ExchangeAnswer): void {
    if (this.#ended) return;
    this.#exchanging = false;
    if (answer.kind === "disowned") {
      this.#end("disowned");
      return;
    }
    // A repeated request counts from its first sending: that is the one the coordinator may have gone by.
    this.#acknowledgedAt = sentAt;
    for (const plan of answer.plans) this.#plans.set(plan.version, plan);
    for (const grant of answer.calls) this.#take(grant, answer.job, sentAt);
    for (const seq of answer.abort) this.#cancel(seq);
    if (this.#slots.size === 0 && this.#tray.size === 0) this.#end("done");
    else this.tick();
  }

  #cancel(seq: number): void {
    const slot = this.#slots.get(seq);
    if (!slot) return;
    slot.canceled = true;
    slot.call?.abort();
  }

  #take(grant: CallGrant, job: GrantedJob, sentAt: number): void {
    const slot: Slot = { grant, call: null, canceled: false, environmentFallback: false };
    // A newer try of the same run replaces the older, whose result nobody waits for any more.
    this.#slots.get(grant.seq)?.call?.abort();
    this.#slots.set(grant.seq, slot);
    this.#deps
      .prepare(grant, this.#plans.get(grant.version), job)
      .then((prepared) => this.#start(slot, prepared, sentAt))
      .catch((error: unknown) => {
        // A fault of ours, not the endpoint's: the run keeps its attempt, and is not granted again at once.
        this.#deps.fault(error, { grant, job });
        this.#finish(slot, null, { kind: "given_back", reason: String(error), delay_ms: FAULT_DELAY_MS });
      });
  }

  #start(slot: Slot, prepared: Prepared, sentAt: number): void {
    if (this.#ended) return;
    const now = this.#deps.clock.now();
    if (now >= this.#acknowledgedAt + CONSUMER_SILENCE_MS) {
      this.tick();
    } else if (slot.canceled) {
      this.#finish(slot, null, { kind: "aborted" });
    } else if (prepared.kind === "ended") {
      this.#finish(slot, prepared.outcome.kind === "given_back" ? null : now, prepared.outcome);
    } else if (now - sentAt > slot.grant.start_within_ms) {
      this.#finish(slot, null, { kind: "given_back", reason: "start_by passed" });
    } else {
      slot.call = prepared.begin();
      slot.environmentFallback = prepared.environmentFallback === true;
      this.#untold.set(slot.grant.seq, now);
      slot.call.outcome.then((outcome) => this.#finish(slot, now, outcome));
      this.tick();
    }
  }

  #finish(slot: Slot, startedAt: number | null, outcome: CallOutcome): void {
    const { seq, attempt, fallback } = slot.grant;
    if (this.#ended || this.#slots.get(seq) !== slot) return;
    this.#slots.delete(seq);
    this.#untold.delete(seq);
    const now = this.#deps.clock.now();
    const report: CallReport = { seq, attempt, fallback, started_at: startedAt, finished_at: now, outcome };
    if (slot.environmentFallback) report.environment_fallback = true;
    this.#tray.put(report, now);
    this.tick();
  }

  #end(end: PumpEnd): void {
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    for (const slot of this.#slots.values()) slot.call?.abort();
    this.#slots.clear();
    this.#resolve(end);
  }
}
