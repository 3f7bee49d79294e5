import type { WebhookType } from "./notice.ts";

/** A webhook on its way to a receiver (contract 6). Times are Unix milliseconds. */

export const DELIVERY_STATUSES = ["pending", "delivered", "dead"] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** One try, as it is shown. */
export interface DeliveryAttempt {
  at: number;
  http_status: number | null;
  error: string | null;
}

export interface WebhookDelivery {
  id: string;
  project_id: string;
  job_id: string;
  type: WebhookType;
  run_id: string | null;
  batch_id: string | null;
  url: string;
  status: DeliveryStatus;
  attempts: DeliveryAttempt[];
  next_attempt_at: number | null;
  created_at: number;
}

/** What came of a try. */
export type SendOutcome =
  | { kind: "answered"; http_status: number; retry_after_ms: number | null; excerpt: string }
  /** No answer in time, or no connection. */
  | { kind: "failed"; message: string }
  /** No letter could be made, and the fault is ours: the receiver has no part in it. */
  | { kind: "not_prepared"; message: string }
  /** It cannot be sent, now or later. */
  | { kind: "impossible"; message: string };

export type Verdict = { status: "delivered" | "dead" } | { status: "pending"; next_attempt_at: number };

/** The pause after each try but the last: about a day in all. */
const PAUSES_MS = [5, 30, 3 * 60, 20 * 60, 2 * 3600, 6 * 3600, 15 * 3600].map((secs) => secs * 1000);
export const MAX_TRIES = PAUSES_MS.length + 1;
/** The share by which a pause grows at most, so that what failed together does not come again together. */
const JITTER = 0.1;
const GONE = 410;

/** The receiver has it. */
export const isTaken = (outcome: SendOutcome): boolean =>
  outcome.kind === "answered" && outcome.http_status >= 200 && outcome.http_status < 300;

/** The receiver wants no more of it. */
export const isGone = (outcome: SendOutcome): boolean => outcome.kind === "answered" && outcome.http_status === GONE;

/**
 * What a try means.
 *
 * @param tries made in this round, this one included.
 * @param random in [0, 1).
 */
export function judgeTry(outcome: SendOutcome, tries: number, now: number, random: number): Verdict {
  if (isTaken(outcome)) return { status: "delivered" };
  if (outcome.kind === "impossible" || isGone(outcome)) return { status: "dead" };
  const pause = PAUSES_MS[tries - 1];
  if (pause === undefined) return { status: "dead" };
  const asked = outcome.kind === "answered" ? (outcome.retry_after_ms ?? 0) : 0;
  return { status: "pending", next_attempt_at: now + Math.max(asked, Math.round(pause * (1 + JITTER * random))) };
}

/** The try as it is shown. */
export function attemptOf(outcome: SendOutcome, at: number): DeliveryAttempt {
  if (outcome.kind !== "answered") return { at, http_status: null, error: outcome.message };
  return { at, http_status: outcome.http_status, error: errorOf(outcome.http_status, outcome.excerpt) };
}

function errorOf(status: number, excerpt: string): string | null {
  if (status >= 200 && status < 300) return null;
  const said = excerpt.trim();
  const told = status >= 300 && status < 400 ? "redirects are not followed" : said;
  return told === "" ? `answered ${status}` : `answered ${status}: ${told}`;
}
