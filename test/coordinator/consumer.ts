import {
  type CallGrant,
  type CallOutcome,
  type CallReport,
  CONSUMER_SILENCE_MS,
  type ExchangeRequest,
} from "../../src/coordinator/protocol.ts";
import type { ResultKind } from "./steps.ts";

export interface Call {
  seq: number;
  attempt: number;
  fallback: boolean;
  startedAt: number | null;
  told: boolean;
  /** Later than this it is not begun. */
  startBy: number;
}

const response = (http_status: number, retry_after_ms: number | null = null): CallOutcome => ({
  kind: "response",
  http_status,
  result: http_status === 200 ? '{"answer":42}' : null,
  truncated: false,
  retry_after_ms,
});

const OUTCOMES: Record<ResultKind, CallOutcome> = {
  success: response(200),
  rejected: response(400),
  throttled: response(429, 2_000),
  broken: response(503),
  timeout: { kind: "timeout" },
  connection: { kind: "connection", message: "reset" },
  blocked: { kind: "blocked", message: "not allowed" },
  given_back: { kind: "given_back", reason: "late" },
  given_back_later: { kind: "given_back", reason: "unreadable", delay_ms: 2_000 },
  aborted: { kind: "aborted" },
};

/** One invocation of the consumer, as its side of the protocol sees it. */
export class Invocation {
  readonly nonce: string;
  readonly ticket: string;
  readonly boot: string | null;
  /** In flight, or granted and not yet begun. */
  readonly calls = new Map<number, Call>();
  /** Sent, and its answer has not come. */
  unanswered: ExchangeRequest | null = null;
  ended = false;
  /** Calls begun, as the endpoint sees it. */
  readonly begun: { call: Call; at: number }[] = [];
  private sequence = 0;
  /** Of the first sending of the last acknowledged request. */
  private acknowledgedAt: number;
  private sentAt: number;

  constructor(nonce: string, ticket: string, boot: string | null, now: number) {
    this.nonce = nonce;
    this.ticket = ticket;
    this.boot = boot;
    this.acknowledgedAt = now;
    this.sentAt = now;
  }

  /** A consumer that hears nothing for long aborts its calls. */
  isLive(now: number): boolean {
    return !this.ended && now < this.acknowledgedAt + CONSUMER_SILENCE_MS;
  }

  /** Calls its endpoint may see now. */
  inFlight(now: number): Call[] {
    return this.isLive(now) ? [...this.calls.values()] : [];
  }

  begin(n: number, now: number): void {
    for (const call of this.calls.values()) {
      if (n-- <= 0) return;
      this.start(call, now);
    }
  }

  /** When it began; null: it is too late for that. */
  private start(call: Call, now: number): number | null {
    if (call.startedAt === null && now < call.startBy) {
      call.startedAt = now;
      this.begun.push({ call, at: now });
    }
    return call.startedAt;
  }

  request(want: number, results: ResultKind[], leaving: boolean, now: number): ExchangeRequest {
    const reports = this.reports(results, now);
    const started: ExchangeRequest["started"] = [];
    for (const call of this.calls.values()) {
      if (call.startedAt === null || call.told) continue;
      call.told = true;
      started.push({ seq: call.seq, at: call.startedAt });
    }
    const request: ExchangeRequest = {
      ticket: this.ticket,
      nonce: this.nonce,
      sequence: ++this.sequence,
      boot: this.boot,
      sent_at: now,
      want: leaving ? 0 : want,
      plans: [],
      results: reports,
      started,
      leaving,
    };
    // It aborts what it still makes before it says so.
    if (leaving) this.calls.clear();
    this.sentAt = now;
    this.unanswered = request;
    return request;
  }

  reports(results: ResultKind[], now: number): CallReport[] {
    const reports: CallReport[] = [];
    for (const [seq, call] of [...this.calls].slice(0, results.length)) {
      const asked = results[reports.length] ?? "success";
      const stays = call.startedAt === null && (asked.startsWith("given_back") || asked === "aborted");
      const startedAt = stays ? null : this.start(call, now);
      // What has begun is not given back, and what has not begun has no outcome but that.
      const isLate = startedAt === null && !stays;
      const kind = isLate ? "given_back" : startedAt !== null && asked.startsWith("given_back") ? "success" : asked;
      const { attempt, fallback } = call;
      reports.push({ seq, attempt, fallback, started_at: startedAt, finished_at: now, outcome: OUTCOMES[kind] });
      this.calls.delete(seq);
    }
    return reports;
  }

  acknowledged(calls: CallGrant[]): void {
    this.unanswered = null;
    this.acknowledgedAt = this.sentAt;
    for (const { seq, attempt, fallback, start_within_ms } of calls) {
      const startBy = this.sentAt + start_within_ms;
      this.calls.set(seq, { seq, attempt, fallback, startedAt: null, told: false, startBy });
    }
  }

  end(): void {
    this.ended = true;
    this.unanswered = null;
  }
}
