import type {
  CallGrant,
  CallOutcome,
  CallPlan,
  CallReport,
  ExchangeAnswer,
  ExchangeRequest,
} from "../../src/coordinator/protocol.ts";
import { LEASE_MS } from "../../src/coordinator/protocol.ts";
import type { CallInFlight } from "../../src/delivery/call.ts";
import type { Clock, Prepared, PumpDeps } from "../../src/delivery/pump.ts";

interface Timer {
  at: number;
  callback: () => void;
}

/** Time that stands still until it is told to go on; work that is ready is done between two instants. */
export class VirtualClock implements Clock {
  #now = 1_000_000;
  /** By time, and by order of setting within an instant. */
  #timers: Timer[] = [];
  readonly now = (): number => this.#now;
  readonly after = (ms: number, callback: () => void): (() => void) => {
    const timer: Timer = { at: this.#now + Math.max(0, ms), callback };
    let place = this.#timers.length;
    while (place > 0 && (this.#timers[place - 1]?.at ?? 0) > timer.at) place--;
    this.#timers.splice(place, 0, timer);
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  };

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Runs until `done` or until nothing is left to wait for; false for the latter. */
  async runUntil(done: () => boolean, limit: number): Promise<boolean> {
    for (;;) {
      for (let i = 0; i < 12; i++) await Promise.resolve();
      if (done()) return true;
      const next = this.#timers[0];
      if (!next || next.at > limit) return false;
      this.#timers.shift();
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
  }
}

/** What the world does to the n-th call or exchange; the lists are gone through again and again. */
export interface Script {
  width: number;
  runs: number;
  /** How many runs may be in flight by the coordinator's limits. */
  permits: number;
  /** Duration of calls, and of making one ready. */
  call_ms: number[];
  prepare_ms: number[];
  /** Duration of the way to the coordinator and of the way back. */
  there_ms: number[];
  back_ms: number[];
  /** `lost_there`: the request never arrives. `lost_back`: it does, and its answer is lost. `hangs`: neither ever. */
  fate: ("fine" | "lost_there" | "lost_back" | "hangs")[];
  start_within_ms: number;
  /** Every n-th run is canceled as soon as it was granted; 0: none. */
  cancel_every: number;
  /** Every n-th call cannot be made, through a fault of ours; 0: none. */
  fault_every: number;
  leave_after_ms: number;
}

export const CALM: Script = {
  width: 6,
  runs: 40,
  permits: 1000,
  call_ms: [10],
  prepare_ms: [0],
  there_ms: [1],
  back_ms: [1],
  fate: ["fine"],
  start_within_ms: 1000,
  cancel_every: 0,
  fault_every: 0,
  leave_after_ms: 20_000,
};

const PLAN: CallPlan = {
  version: 1,
  slug: "job",
  endpoint_url: "https://endpoint.example/",
  fallback_endpoint_url: null,
  endpoint_method: "POST",
  endpoint_headers: {},
  endpoint_signing_secret: null,
  environment_id: null,
};

const turn = <T>(list: T[], n: number): T => {
  const value = list[n % list.length];
  if (value === undefined) throw new Error("an empty script");
  return value;
};

/**
 * A coordinator and an endpoint that follow a script, and watch: every breach of a law is written into `faults`. It grants
 * and takes back by the same rules as the real one: an answer belongs to its triple, a lease falls after silence.
 */
export class ScriptedLane {
  readonly clock = new VirtualClock();
  readonly faults: string[] = [];
  readonly requests: { at: number; request: ExchangeRequest }[] = [];
  readonly reports = new Map<number, CallReport>();
  inFlight = 0;
  peak = 0;
  begun = 0;
  pauses: number[] = [];
  readonly canceledAt = new Map<number, number>();
  readonly #script: Script;
  readonly #answers = new Map<number, ExchangeAnswer>();
  readonly #granted = new Map<number, { answeredFrom: number }>();
  #next = 1;
  #asked = 0;
  #prepared = 0;
  #receivedAt: number | null = null;
  #disowned = false;
  #exchanging = 0;
  #toAbort: number[] = [];
  #sentAt = new Map<number, number>();

  constructor(script: Script) {
    this.#script = script;
  }

  get held(): number {
    return this.#granted.size;
  }

  get everythingReported(): boolean {
    return this.reports.size === this.#script.runs;
  }

  deps(): PumpDeps {
    const s = this.#script;
    return {
      exchange: (request) => this.#exchange(request),
      prepare: (grant, plan) => this.#prepare(grant, plan),
      clock: this.clock,
      fault: () => undefined,
      ticket: "ticket",
      nonce: "nonce",
      boot: null,
      width: s.width,
      leave_after_ms: s.leave_after_ms,
    };
  }

  #check(condition: boolean, fault: string): void {
    if (!condition) this.faults.push(fault);
  }

  async #exchange(request: ExchangeRequest): Promise<ExchangeAnswer> {
    const n = this.#asked++;
    const s = this.#script;
    const fate = turn(s.fate, n);
    this.#check(++this.#exchanging === 1, "two exchanges at once");
    if (!this.#sentAt.has(request.sequence)) this.#sentAt.set(request.sequence, this.clock.now());
    try {
      if (fate === "hangs") await new Promise(() => undefined);
      await this.clock.wait(turn(s.there_ms, n));
      if (fate === "lost_there") throw new Error("lost on its way");
      const answer = structuredClone(this.#receive(structuredClone(request)));
      await this.clock.wait(turn(s.back_ms, n));
      if (fate === "lost_back") throw new Error("lost on its way back");
      return answer;
    } finally {
      this.#exchanging--;
    }
  }

  #receive(request: ExchangeRequest): ExchangeAnswer {
    const now = this.clock.now();
    this.requests.push({ at: now, request });
    if (this.#disowned) return { kind: "disowned" };
    this.#receivedAt = now;
    this.clock.after(LEASE_MS, () => this.#takeBack(now));
    const known = this.#answers.get(request.sequence);
    if (known) return known;
    this.#check(request.sequence === this.#answers.size + 1, `sequence ${request.sequence} is not the next`);
    for (const report of request.results) this.#settle(report);
    for (const { seq } of request.started) this.#check(this.#granted.has(seq), `${seq} started, but is not held`);
    const free = Math.min(request.want, this.#script.permits - this.#granted.size);
    const abort = this.#toAbort.splice(0);
    const calls: CallGrant[] = [];
    while (calls.length < free && this.#next <= this.#script.runs) calls.push(this.#grant());
    this.#check(
      this.#granted.size <= this.#script.width,
      `${this.#granted.size} held with ${this.#script.width} slots`,
    );
    const answer: ExchangeAnswer = {
      kind: "granted",
      job: { id: "job", number: 1, project_id: "project", lane: 0 },
      calls,
      plans: request.plans.includes(PLAN.version) ? [] : [PLAN],
      abort,
    };
    this.#answers.set(request.sequence, answer);
    return answer;
  }

  #grant(): CallGrant {
    const seq = this.#next++;
    this.#granted.set(seq, { answeredFrom: this.clock.now() });
    const every = this.#script.cancel_every;
    if (every > 0 && seq % every === 0) {
      this.#toAbort.push(seq);
      this.canceledAt.set(seq, this.clock.now());
    }
    return {
      seq,
      at: 1,
      attempt: 1,
      fallback: false,
      version: PLAN.version,
      payload: "{}",
      timeout_ms: 300_000,
      start_within_ms: this.#script.start_within_ms,
      batch_id: null,
      batch_index: null,
      traceparent: null,
    };
  }

  #settle(report: CallReport): void {
    this.#check(this.#granted.delete(report.seq), `${report.seq} reported, but is not held`);
    this.#check(!this.reports.has(report.seq), `${report.seq} reported twice`);
    this.reports.set(report.seq, report);
  }

  /** The lease falls: from here on others may make these calls, so none of them may be in flight. */
  #takeBack(receivedAt: number): void {
    if (this.#receivedAt !== receivedAt || this.#granted.size === 0) return;
    this.#disowned = true;
    this.#check(this.inFlight === 0, `${this.inFlight} calls in flight when their lease fell`);
  }

  async #prepare(grant: CallGrant, plan: CallPlan | undefined): Promise<Prepared> {
    this.#check(plan?.version === grant.version, "a grant without its plan");
    await this.clock.wait(turn(this.#script.prepare_ms, this.#prepared++));
    const every = this.#script.fault_every;
    if (every > 0 && grant.seq % (2 * every) === 0) throw new Error("not opened");
    return {
      kind: "ready",
      begin: () => {
        if (every > 0 && grant.seq % every === 0) throw new Error("not begun");
        return this.#begin(grant);
      },
    };
  }

  #begin(grant: CallGrant): CallInFlight {
    const now = this.clock.now();
    const answeredFrom = this.#granted.get(grant.seq)?.answeredFrom;
    this.#check(!this.#disowned, "a call begun after its lease fell");
    this.#check(
      answeredFrom !== undefined && now <= answeredFrom + this.#script.start_within_ms,
      `${grant.seq} begun after its start_by`,
    );
    const n = this.begun++;
    this.peak = Math.max(this.peak, ++this.inFlight);
    let end: (outcome: CallOutcome) => void = () => undefined;
    const outcome = new Promise<CallOutcome>((resolve) => {
      let open = true;
      end = (ended) => {
        if (!open) return;
        open = false;
        this.inFlight--;
        resolve(ended);
      };
    });
    const response: CallOutcome = {
      kind: "response",
      http_status: 200,
      result: null,
      truncated: false,
      retry_after_ms: null,
    };
    this.clock.after(turn(this.#script.call_ms, n), () => end(response));
    return { outcome, abort: () => end({ kind: "aborted" }) };
  }
}
