import type { Env } from "../env.ts";
import { logError } from "../log.ts";
import { AlarmClock } from "./alarm-clock.ts";
import { bill } from "./bill.ts";
import { gather, type Shipment, settleShipment, ship } from "./flush.ts";
import type { Lane } from "./lane.ts";
import { Lingering } from "./lingering.ts";
import { ring } from "./notices.ts";
import type { JobConfig } from "./protocol.ts";
import { statsDueAt } from "./stats.ts";
import { Tickets } from "./tickets.ts";
import { FLUSH_AFTER_MS, nextWake, oldestUnsentAt } from "./wake.ts";

/** Above either, new triggers are refused; what was accepted goes on (contract 1). */
const MAX_BEHIND_ROWS = 1_000_000;
const MAX_BEHIND_MS = 15 * 60_000;
/** Somebody should look when what leaves for D1 is so late. */
const LAG_ALARM_MS = 60_000;
const MAX_FLUSH_BACKOFF_MS = 30_000;
/** A sending that has not ended after this long is asked after. */
const SENDING_MS = 10_000;

/** What the departure needs of the object it belongs to. */
export interface Home {
  env(): Env;
  ctx: DurableObjectState;
  /** Alarms so close are backed by a timer; see `backedMsOf`. */
  backedMs: number;
  load(): Lane | null;
  now(lane: Lane): number;
  /** One transaction, and what follows from it. */
  change<T>(work: (lane: Lane, now: number) => T): T;
  alarm(): Promise<void>;
}

/** All that leaves the object after a transaction: tickets, the copy in D1, the next alarm. */
export class Departure {
  readonly tickets = new Tickets();
  readonly lingering = new Lingering();
  private readonly home: Home;
  private readonly clock: AlarmClock;
  /** The last alarm that was set, until it is stored. */
  private armed: Promise<void> = Promise.resolve();
  private flushing = false;
  private flushFailures = 0;
  private flushNotBefore = 0;

  constructor(home: Home) {
    this.home = home;
    this.clock = new AlarmClock(home.ctx.storage, () => home.ctx.waitUntil(home.alarm()));
  }

  /** Nothing is known of the alarm any more. */
  forgetAlarm(): void {
    this.clock.forget();
  }

  /** Resolves when the last alarm that was set is stored. */
  get alarmStored(): Promise<void> {
    return this.armed;
  }

  /** Rings for the work that may go now, and sets the alarm for what is due later. */
  follow(lane: Lane, now: number): void {
    const call = (consumers: number) => this.lingering.call(consumers);
    const tickets = this.tickets.ring(lane, now, () => crypto.randomUUID(), call);
    if (tickets.length > 0) this.home.ctx.waitUntil(this.send(tickets));
    // A sending under way sees to the next one itself, unless it dies with the object.
    const flushNotBefore = Math.max(this.flushNotBefore, this.flushing ? now + SENDING_MS : 0);
    const wake = nextWake(lane, now, { flushNotBefore, ringAt: this.tickets.nextRingAt() });
    if (wake !== null && this.clock.isDueBefore(wake, now)) this.arm(wake);
  }

  arm(at: number): void {
    this.armed = this.clock.set(at, Date.now(), this.home.backedMs);
    this.home.ctx.waitUntil(this.armed);
  }

  /** D1 is out of reach, and what waits for it is too much; or the lines that wait fill the object's memory. */
  isOverloaded(lane: Lane): boolean {
    if (lane.scheduler.flows.size >= lane.settings.maxFlows) return true;
    if (this.flushFailures === 0) return false;
    const behind = lane.outboxRows + lane.state.nextSeq - lane.state.projectedSeq;
    const oldest = oldestUnsentAt(lane);
    return behind > MAX_BEHIND_ROWS || (oldest !== null && Date.now() - oldest > MAX_BEHIND_MS);
  }

  /** The alarm of an outbox that lags, once a minute for as long as it does. */
  warnOfLag(lane: Lane, now: number): void {
    const oldest = oldestUnsentAt(lane);
    if (oldest === null || now - oldest < LAG_ALARM_MS) return;
    logError("outbox_lag", { lane: this.home.ctx.id.name, seconds: Math.floor((now - oldest) / 1_000) });
  }

  private async send(tickets: ReturnType<Tickets["ring"]>): Promise<void> {
    try {
      bill.tickets_sent += tickets.length;
      for (let i = 0; i < tickets.length; i += 100) {
        await this.home.env().DELIVERIES.sendBatch(tickets.slice(i, i + 100).map((body) => ({ body })));
      }
    } catch (error) {
      this.complain("ticket_not_sent", error);
      for (const { id } of tickets) this.tickets.unsent(id);
      this.arm(Date.now() + 1_000);
    }
  }

  /** Sends what is old enough to leave, as long as there is some. One at a time. */
  async flush(): Promise<void> {
    if (this.flushing) return;
    this.flushing = true;
    const { home } = this;
    try {
      while (Date.now() >= this.flushNotBefore) {
        const lane = home.load();
        if (lane === null) return;
        const now = home.now(lane);
        const shipment = nextShipment(lane, now);
        if (shipment === null) break;
        bill.d1_rows_written += await ship(home.env(), lane, shipment, now);
        this.flushFailures = 0;
        if (shipment.notices.length > 0) home.ctx.waitUntil(this.announce(lane, shipment));
        if (lane === home.load() && !lane.poisoned) home.change((l) => settleShipment(l, shipment));
        // A loop of storage and D1 alone lets no socket be read: requests would wait for the whole backlog.
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    } catch (error) {
      this.flushFailures += 1;
      this.flushNotBefore = Date.now() + Math.min(500 * 2 ** this.flushFailures, MAX_FLUSH_BACKOFF_MS);
      this.complain("projection_failed", error);
    } finally {
      this.flushing = false;
      const lane = home.load();
      if (lane !== null) this.follow(lane, home.now(lane));
    }
  }

  private async announce(lane: Lane, { notices }: Shipment): Promise<void> {
    try {
      await ring(this.home.env(), (lane.config as JobConfig).project_id, notices);
    } catch (error) {
      this.complain("notices_not_rung", error);
    }
  }

  private complain(event: string, error: unknown): void {
    logError(event, { lane: this.home.ctx.id.name }, error);
  }
}

/** What is younger waits for company: under load a sending every half second is cheaper than one without end. */
function nextShipment(lane: Lane, now: number): Shipment | null {
  const upTo = now - FLUSH_AFTER_MS / 2;
  const isDue = (oldestUnsentAt(lane) ?? now) <= upTo || (statsDueAt(lane) ?? now + 1) <= now;
  return isDue ? gather(lane, upTo) : null;
}
