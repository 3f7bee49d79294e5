import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env as workerEnv } from "cloudflare:workers";
import { vi } from "vitest";
import type { JobCoordinator } from "../../src/coordinator/job-coordinator.ts";
import type { CoordinatorApi, LaneHealth, Ticket } from "../../src/coordinator/protocol.ts";
import type { BatchRecord } from "../../src/domain/batch.ts";
import type { RunRecord } from "../../src/domain/run.ts";
import { type Env, parseSettings } from "../../src/env.ts";
import type { WebhookRing } from "../../src/webhooks/protocol.ts";
import { evict } from "../fixtures/evict.ts";

export const env = workerEnv as unknown as Env;

/** Far ahead, so that no alarm fires by the machine's own clock. */
export const EPOCH = Date.UTC(2100, 0, 1);

/**
 * `landed`: the write is made, and the writer hears of an error. `stray`: so it does, and the write is made after the next
 * one. `slow`: it is under way while other things happen.
 */
export type D1Mode = "fine" | "refused" | "landed" | "stray" | "slow";

export interface Row {
  [column: string]: SqlStorageValue;
}

/** What D1 holds of a run. */
export interface Copy {
  id: string;
  status: string;
  ver: number;
  payload: string | null;
  doc: Omit<RunRecord, "payload">;
}

/** A webhook that D1 holds. */
export interface Delivery {
  id: string;
  type: string;
  run_id: string | null;
  batch_id: string | null;
  url: string;
  created_at: number;
}

/** The lane as its public methods show it, all at one instant. */
export interface Shown {
  runs: (RunRecord | null)[];
  batches: (BatchRecord | null)[];
  health: LaneHealth;
  /** Nothing waits for D1. */
  copied: boolean;
  alarm: number | null;
  /** When the lane last looked at the time. */
  clock: number;
}

type Stub = CoordinatorApi & DurableObjectStub<JobCoordinator>;

/** Ledger tables that must be empty once every run has ended and D1 knows it. */
const TABLES = [
  "runs",
  "bodies",
  "pages",
  "heads",
  "due",
  "expiries",
  "leases",
  "batches",
  "chunks",
  "outbox",
  "sweeps",
];

/**
 * One lane in a real Durable Object, and the world around it: the clock, the queue, D1's moods, sudden ends. The queue is a
 * list here, so that the test alone plays the consumers.
 */
export class World {
  stub: Stub;
  readonly jobId: string;
  readonly tickets: Ticket[] = [];
  readonly rings: WebhookRing[] = [];
  d1: D1Mode = "fine";
  /** A slow write is under way. Flags, and no promises: one may not be resolved from another object's request. */
  private stray: D1PreparedStatement[] = [];
  private isUnderWay = false;
  private mayArrive = false;
  private alarms: Promise<unknown> = Promise.resolve();
  private readonly width: number;
  private boot: string | null;

  constructor(jobId: string, width: number, boot: string | null) {
    this.jobId = jobId;
    this.width = width;
    this.boot = boot;
    this.stub = this.newStub();
  }

  private newStub(): Stub {
    return env.COORDINATOR.get(env.COORDINATOR.idFromName(`${this.jobId}:0`)) as unknown as Stub;
  }

  get now(): number {
    return Date.now();
  }

  /** As consumers of this boot say it. */
  get bootId(): string | null {
    return parseSettings(this.surroundings()).bootId;
  }

  private surroundings(): Env {
    return {
      ...env,
      DB: this.moody(env.DB),
      DELIVERIES: listed(this.tickets),
      WEBHOOKS: listed(this.rings),
      PUMP_WIDTH: String(this.width),
      DEPLOYMENT_MAX_CONCURRENCY: "50",
      ...(this.boot === null ? {} : { BOOT_ID: this.boot }),
    };
  }

  setTime(at: number): void {
    vi.setSystemTime(at);
  }

  /** Gives the object, which has just been made, this world's surroundings. */
  async begin(): Promise<void> {
    await this.inside((instance, state) => {
      const holder = instance as unknown as {
        env: Env;
        departure: { clock: { forget(): void; at: number | null; set: unknown } };
      };
      const { clock } = holder.departure;
      // The alarm alone, without the timers that back it: those would fire by the machine's own clock.
      clock.set = async (at: number) => {
        clock.forget();
        clock.at = at;
        await state.storage.setAlarm(at);
      };
      holder.env = this.surroundings();
    });
  }

  private moody(db: D1Database): D1Database {
    const batch = async <T>(statements: D1PreparedStatement[]): Promise<D1Result<T>[]> => {
      if (this.d1 === "refused") throw new Error("D1_ERROR: refused");
      if (this.d1 === "stray") {
        this.stray = statements;
        throw new Error("D1_ERROR: nothing was heard of it");
      }
      if (this.d1 === "slow") {
        this.isUnderWay = true;
        this.mayArrive = false;
        while (!this.mayArrive) await aMoment();
        this.isUnderWay = false;
      }
      const results = await db.batch<T>(statements);
      const stray = this.stray;
      this.stray = [];
      if (stray.length > 0) await db.batch(stray);
      if (this.d1 === "landed") throw new Error("D1_ERROR: the answer was lost");
      return results;
    };
    return { prepare: (query: string) => db.prepare(query), batch } as unknown as D1Database;
  }

  inside<T>(work: (instance: JobCoordinator, state: DurableObjectState) => T | Promise<T>): Promise<T> {
    return runInDurableObject(this.stub as DurableObjectStub<JobCoordinator>, work);
  }

  /** The object leaves memory. `crash`: without a word; else as when it is idle. */
  async restart(crash: boolean, boot = this.boot): Promise<void> {
    this.boot = boot;
    if (!crash) await this.arrive();
    if (crash) {
      await abortAllDurableObjects();
      // One that was open stays broken.
      this.stub = this.newStub();
      this.isUnderWay = false;
      this.alarms = Promise.resolve();
    } else await evict(this.stub);
    await this.begin();
  }

  /** Lets the alarm fire if it stands at or before now. */
  async fireDue(): Promise<boolean> {
    const at = await this.alarm();
    return at !== null && at <= this.now && (await this.fireNow());
  }

  /** Fires the alarm, whenever it stands. A slow write of D1 is left under way. */
  async fireNow(): Promise<boolean> {
    if (this.d1 !== "slow") return runDurableObjectAlarm(this.stub);
    if (this.isUnderWay) {
      // While one alarm waits for D1 the platform fires no other; the timer that backs it does.
      await this.inside(async (instance, state) => {
        await state.storage.deleteAlarm();
        await instance.alarm();
      });
      return true;
    }
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    // A crash takes it down.
    this.alarms = runDurableObjectAlarm(this.stub).then(over, over);
    while (!isOver && !this.isUnderWay) await aMoment();
    return true;
  }

  /** The write that was under way arrives. */
  async arrive(): Promise<void> {
    const mode = this.d1;
    this.d1 = mode === "slow" ? "fine" : mode;
    this.mayArrive = true;
    await this.alarms;
    this.d1 = mode;
  }

  alarm(): Promise<number | null> {
    return this.inside((_instance, state) => state.storage.getAlarm());
  }

  show(runIds: string[], batchIds: string[]): Promise<Shown> {
    return this.inside(async (instance, state) => {
      const lane = JSON.parse(one(state.storage.sql, "SELECT doc FROM lane")?.doc as string) as LaneDoc;
      return {
        runs: await Promise.all(runIds.map((id) => instance.getRun(id))),
        batches: await Promise.all(batchIds.map((id) => instance.getBatch(id))),
        health: await instance.health(),
        copied:
          one(state.storage.sql, "SELECT 1 FROM outbox LIMIT 1") === undefined &&
          one(state.storage.sql, "SELECT 1 FROM runs WHERE seq > ? LIMIT 1", lane.projectedSeq) === undefined,
        alarm: await state.storage.getAlarm(),
        clock: lane.clock,
      };
    });
  }

  /** Rows that should have gone, by table; flows of no batch and no key may stay. */
  leftovers(): Promise<Record<string, Row[]>> {
    return this.inside((_instance, state) => {
      const found: Record<string, Row[]> = {};
      const look = (name: string, query: string): void => {
        const rows = state.storage.sql.exec(query).toArray();
        if (rows.length > 0) found[name] = rows;
      };
      for (const table of TABLES) look(table, `SELECT * FROM ${table}`);
      look("flows", "SELECT * FROM flows WHERE batch IS NOT NULL OR ckey IS NOT NULL");
      return found;
    });
  }

  /** The lane's own row. */
  laneText(): Promise<string> {
    return this.inside((_instance, state) => one(state.storage.sql, "SELECT doc FROM lane")?.doc as string);
  }

  rowsOf(table: string): Promise<number> {
    return this.inside((_instance, state) => one(state.storage.sql, `SELECT count(*) AS n FROM ${table}`)?.n as number);
  }

  async laneDoc(): Promise<LaneDoc> {
    return JSON.parse(await this.laneText()) as LaneDoc;
  }

  async copies(): Promise<Copy[]> {
    const { results } = await env.DB.prepare("SELECT id, status, ver, payload, doc FROM runs WHERE job_id = ?")
      .bind(this.jobId)
      .all<Omit<Copy, "doc"> & { doc: string }>();
    return results.map((row) => ({ ...row, doc: JSON.parse(row.doc) as Copy["doc"] }));
  }

  async batchCopies(): Promise<BatchRecord[]> {
    const { results } = await env.DB.prepare("SELECT doc FROM batches WHERE job_id = ?")
      .bind(this.jobId)
      .all<{ doc: string }>();
    return results.map((row) => JSON.parse(row.doc) as BatchRecord);
  }

  /** What D1 holds for the receivers of webhooks about these, in order of their ids. By index: other jobs have thousands. */
  async deliveries(runIds: string[], batchIds: string[]): Promise<Delivery[]> {
    const those = (column: string, parameter: string): string =>
      `SELECT id, type, run_id, batch_id, url, created_at FROM webhook_deliveries
       WHERE ${column} IN (SELECT value FROM json_each(${parameter}))`;
    const { results } = await env.DB.prepare(`${those("run_id", "?1")} UNION ${those("batch_id", "?2")} ORDER BY id`)
      .bind(JSON.stringify(runIds), JSON.stringify(batchIds))
      .all<Delivery>();
    return results;
  }

  async itemCopies(batchId: string): Promise<{ item_index: number; outcome: string; run_id: string | null }[]> {
    const { results } = await env.DB.prepare(
      "SELECT item_index, outcome, run_id FROM batch_items WHERE batch_id = ? ORDER BY item_index",
    )
      .bind(batchId)
      .all<{ item_index: number; outcome: string; run_id: string | null }>();
    return results;
  }
}

/** A queue that is a list. */
const listed = <T>(list: T[]): Queue<T> =>
  ({
    sendBatch: async (messages: Iterable<MessageSendRequest<T>>) => {
      for (const { body } of messages) list.push(body);
      return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
    },
  }) as unknown as Queue<T>;

const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** The lane's own counters. */
export interface LaneDoc {
  nextSeq: number;
  clock: number;
  projectedSeq: number;
  counts: Record<string, number>;
  retrying: number;
}

const one = (sql: SqlStorage, query: string, ...args: SqlStorageValue[]): Row | undefined =>
  sql.exec(query, ...args).toArray()[0];
