import { isGivenUp, type Standing, standingAfter, widthAt } from "../domain/receiver-standing.ts";
import { attemptOf, judgeTry, type SendOutcome } from "../domain/webhook.ts";
import { type Env, parseSettings } from "../env.ts";
import { logError } from "../log.ts";
import {
  type DueDelivery,
  dueDeliveries,
  holdReceiver,
  noteRing,
  type Receiver,
  releaseReceiver,
  reportTries,
  type TryReport,
} from "../store/webhook-queue.ts";
import { LetterBook, type ShowBatch } from "./letter.ts";
import { SEND_TIMEOUT_MS, send } from "./send.ts";

/** Calls of one receiver at once: it is somebody's server, and one of many. */
const WIDTH = 10;
/** Webhooks read at once. */
const PAGE = 64;
/** No call is begun later than this: the others in the queue want their turn. */
const LEAVE_AFTER_MS = 20_000;
/** It is let go by then, whatever happens to its holder: the last call, and time to report it. */
const HELD_MS = LEAVE_AFTER_MS + SEND_TIMEOUT_MS + 10_000;
/** Reports wait this long for company, or for so many. */
const REPORT_AFTER_MS = 500;
const REPORT_ROWS = 50;
/** While calls are in flight, what has become due is looked for this often. */
const LOOK_EVERY_MS = 1_000;
/** The clocks of those who wrote a time may be ahead of ours by so much. */
const CLOCK_SLACK_MS = 250;
/** A queue holds a message back no longer than 12 hours; what is due later is left to the sweeper. */
const MAX_RING_DELAY_MS = 12 * 3_600_000;
const REPORT_TRIES = 5;

/**
 * Calls one receiver for the webhooks that are due, a bounded number at once, until there are none or it is time to go. One
 * that another invocation is calling is left to that one.
 *
 * @throws what D1 throws; tries that could not be reported are made again then.
 */
export async function callReceiver(receiver: Receiver, env: Env, showBatch: ShowBatch): Promise<void> {
  const { bootId } = parseSettings(env);
  const holder = `${bootId ?? ""}#${crypto.randomUUID()}`;
  const now = Date.now();
  const standing = await holdReceiver(env.DB, receiver, holder, bootId, now, now + HELD_MS);
  if (standing === null) return;
  const calls = new Calls(receiver, env, showBatch, standing);
  try {
    await calls.make();
  } finally {
    await leave(receiver, holder, calls.standing, env);
  }
}

/** Whoever rang in vain meanwhile is answered now: what is due rings again, at once or when it is time. */
async function leave(receiver: Receiver, holder: string, standing: Standing, env: Env): Promise<void> {
  const next = await releaseReceiver(env.DB, receiver, holder, standing);
  if (next === null) return;
  const now = Date.now();
  const body = { v: 1, ...receiver } as const;
  if (next <= now) await env.WEBHOOKS.send(body);
  else if (next - now <= MAX_RING_DELAY_MS && (await noteRing(env.DB, receiver, next, now))) {
    await env.WEBHOOKS.send(body, { delaySeconds: Math.ceil((next - now) / 1000) });
  }
}

/** @throws what the last try threw. */
async function persistently(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === REPORT_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
    }
  }
}

/** The calls of one invocation. A call that ends makes way for the next at once; reading and reporting go on beside. */
class Calls {
  standing: Standing;
  private readonly receiver: Receiver;
  private readonly env: Env;
  private readonly letters: LetterBook;
  private readonly width: number;
  private leaveAt = Date.now() + LEAVE_AFTER_MS;
  private readonly inFlight = new Map<string, Promise<void>>();
  private readonly ready: DueDelivery[] = [];
  private lookAt = 0;
  /** Not written yet, the oldest first. */
  private reports: TryReport[] = [];
  private oldestReportAt = 0;
  private reporting: Promise<void> | null = null;
  private fault: unknown = null;

  constructor(receiver: Receiver, env: Env, showBatch: ShowBatch, standing: Standing) {
    const settings = parseSettings(env);
    this.receiver = receiver;
    this.env = env;
    this.standing = standing;
    this.letters = new LetterBook(env, settings, receiver, showBatch);
    this.width = Math.min(WIDTH, settings.pumpWidth);
  }

  /** @throws what D1 throws; every call that was begun has ended then. */
  async make(): Promise<void> {
    for (;;) {
      const now = Date.now();
      const mayCall = now < this.leaveAt && widthAt(this.standing, this.width, now) > 0;
      if (mayCall && this.ready.length < this.width && now >= this.lookAt) await this.look(now);
      this.fill();
      if (this.inFlight.size === 0) break;
      if (this.reporting === null && this.isReportDue(now)) this.reporting = this.report();
      await this.aCallOr(REPORT_AFTER_MS);
    }
    await this.reporting;
    if (this.standing.rests_until > Date.now()) await this.letGo();
    if (this.reports.length > 0 && this.fault === null) await this.report();
    if (this.fault !== null) throw this.fault;
  }

  private async look(now: number): Promise<void> {
    try {
      const due = await this.due(now);
      this.ready.push(...due);
      // A full page has a successor: asked for as soon as it is nearly used up.
      this.lookAt = due.length < PAGE ? now + LOOK_EVERY_MS : 0;
    } catch (error) {
      this.giveUp(error);
    }
  }

  private due(now: number): Promise<DueDelivery[]> {
    const busy = [...this.inFlight.keys(), ...[...this.ready, ...this.reports].map(({ id }) => id)];
    return dueDeliveries(this.env.DB, this.receiver, busy, now + CLOCK_SLACK_MS, PAGE);
  }

  private fill(): void {
    for (;;) {
      const now = Date.now();
      if (now >= this.leaveAt || this.inFlight.size >= widthAt(this.standing, this.width, now)) return;
      const delivery = this.ready.shift();
      if (delivery === undefined) return;
      this.inFlight.set(delivery.id, this.try(delivery));
    }
  }

  private async try(delivery: DueDelivery): Promise<void> {
    const at = Date.now();
    const outcome = await this.outcomeOf(delivery, at);
    const now = Date.now();
    this.standing = standingAfter(this.standing, outcome, at, now);
    this.put({
      id: delivery.id,
      round: delivery.round,
      attempt: attemptOf(outcome, at),
      verdict: judgeTry(outcome, delivery.tries + 1, now, Math.random()),
    });
    this.inFlight.delete(delivery.id);
    this.fill();
  }

  /**
   * The receiver has just failed once more: webhooks whose day is over are dead uncalled. The next rest goes on with what there
   * is no time for now.
   */
  private async letGo(): Promise<void> {
    this.ready.length = 0;
    const { failures } = this.standing;
    const error = `given up: the receiver has failed its last ${failures} calls, and a day is over`;
    try {
      for (let now = Date.now(); now < this.leaveAt; now = Date.now()) {
        const old = (await this.due(now)).filter(({ round_at }) => isGivenUp(this.standing, round_at, now));
        if (old.length === 0) return;
        const attempt = { at: now, http_status: null, error };
        for (const { id, round } of old) this.put({ id, round, attempt, verdict: { status: "dead" } });
        await this.report();
      }
    } catch (error) {
      this.giveUp(error);
    }
  }

  private put(report: TryReport): void {
    if (this.reports.length === 0) this.oldestReportAt = Date.now();
    this.reports.push(report);
  }

  private async outcomeOf(delivery: DueDelivery, now: number): Promise<SendOutcome> {
    try {
      const letter = await this.letters.write(delivery, now);
      return "kind" in letter ? letter : await send(letter);
    } catch (error) {
      // A key that is missing, R2 out of reach: ours to mend, and there is a day for it.
      const { id: delivery_id, run_id, batch_id } = delivery;
      logError(
        "webhook_not_prepared",
        { delivery_id, run_id: run_id ?? undefined, batch_id: batch_id ?? undefined },
        error,
      );
      return { kind: "not_prepared", message: "could not be prepared on our side" };
    }
  }

  private async aCallOr(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([...this.inFlight.values(), patience]);
    clearTimeout(timer);
  }

  private isReportDue(now: number): boolean {
    return (
      this.reports.length >= REPORT_ROWS || (this.reports.length > 0 && now - this.oldestReportAt >= REPORT_AFTER_MS)
    );
  }

  /** Writes what there is. Never rejects. */
  private async report(): Promise<void> {
    const written = this.reports.slice();
    try {
      await persistently(() => reportTries(this.env.DB, this.receiver.project_id, written));
      this.reports = this.reports.slice(written.length);
      this.oldestReportAt = Date.now();
    } catch (error) {
      this.giveUp(error);
    }
    this.reporting = null;
  }

  /** What is in flight ends; nothing more is begun. */
  private giveUp(error: unknown): void {
    this.fault ??= error;
    this.leaveAt = 0;
  }
}
