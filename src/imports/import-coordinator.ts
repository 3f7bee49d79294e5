import { DurableObject } from "cloudflare:workers";
import { effectiveSettings, type ImportFile, type ImportRecord, type ImportSpec } from "../domain/import.ts";
import { type Env, parseSettings } from "../env.ts";
import { logError } from "../log.ts";
import { Book, FINISH_TASK, LIST_TASK, newState, newTask } from "./book.ts";
import { advance, type Desk, follow, recordOf, setTask, unsettled } from "./desk.ts";
import { doneFiles, shownFiles } from "./files.ts";
import { MAX_RANGES } from "./planning.ts";
import {
  type Amendment,
  type ImportCoordinatorApi,
  type ImportRing,
  type Listed,
  type NextBatch,
  READER_SILENCE_MS,
  type RejectPart,
  type ReportAnswer,
  type SteerAnswer,
  type TaskName,
  type TaskReport,
  type Work,
} from "./protocol.ts";
import { batchOpened, beat, fenced, lease, listed, listFailed, reclaim, report } from "./reading.ts";
import { amend, cancel, pause, resume, retry } from "./steering.ts";

/** Work that nobody has come for is rung for again. */
const RING_AGAIN_MS = 5_000;
/** With a boot id (`npm run dev`) a restart must be noticed soon: readers of the one before are dead. */
const BOOT_CHECK_MS = 2_000;

/**
 * One import: the shell. It reads the clock, changes the tables in one transaction, and rings for readers. It reads no
 * bucket and calls nobody: readers come to it.
 */
export class ImportCoordinator extends DurableObject<Env> implements ImportCoordinatorApi {
  private readonly book: Book;
  private desk: Desk | null = null;
  private rungAt = 0;
  private backup: ReturnType<typeof setTimeout> | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.book = new Book(ctx.storage.sql);
  }

  async start(spec: ImportSpec, batchId: string | null): Promise<ImportRecord> {
    if (this.load() === null) {
      this.ctx.storage.transactionSync(() => {
        this.book.migrate();
        this.book.saveState(newState(spec, batchId));
        this.book.saveTask(newTask(LIST_TASK, "list", 0, 0));
      });
    }
    return (await this.change((desk) => recordOf(desk))) as ImportRecord;
  }

  async view(): Promise<ImportRecord | null> {
    const desk = this.load();
    return desk === null ? null : recordOf(desk);
  }

  async files(after: number, limit: number): Promise<ImportFile[]> {
    return this.load() === null ? [] : shownFiles(this.book, unsettled(this.book), after, limit);
  }

  async rejectParts(after: number, limit: number): Promise<RejectPart[]> {
    if (this.load() === null) return [];
    const rows = this.book.all("SELECT * FROM rejects WHERE number > ? ORDER BY number LIMIT ?", after, limit);
    return rows.map((row) => ({
      number: row.number as number,
      key: row.key as string,
      count: row.n as number,
      firstLine: this.linesBefore(row.task as number),
    }));
  }

  /** Lines of an object before a range of it; null where an earlier range has not been read to its end. */
  private linesBefore(taskId: number): number | null {
    const task = this.book.task(taskId);
    if (task === null || task.range === null) return 0;
    // An object's ranges are planned one after the other: the earlier ones are close before it.
    const [row] = this.book.all(
      `SELECT count(*) - count(lines) AS unread, coalesce(sum(lines), 0) AS lines FROM tasks
       WHERE id BETWEEN ? AND ? AND first = ? AND range_from < ?`,
      taskId - MAX_RANGES,
      taskId,
      task.first,
      task.range.from,
    );
    return row?.unread === 0 ? (row.lines as number) : null;
  }

  async pause(): Promise<SteerAnswer> {
    return this.steer(pause);
  }

  async resume(): Promise<SteerAnswer> {
    return this.steer(resume);
  }

  async cancel(): Promise<SteerAnswer> {
    return this.steer(cancel);
  }

  async retry(batchId: string | null): Promise<SteerAnswer> {
    return this.steer((desk) => retry(desk, batchId));
  }

  async amend(change: Amendment): Promise<SteerAnswer> {
    return this.steer((desk) => amend(desk, change));
  }

  private async steer(work: (desk: Desk) => SteerAnswer): Promise<SteerAnswer> {
    this.rungAt = 0;
    return (await this.change(work)) ?? { kind: "not_found" };
  }

  async poke(): Promise<ImportRecord | null> {
    await this.tick();
    return this.view();
  }

  async erase(): Promise<void> {
    this.desk = null;
    if (this.backup !== null) clearTimeout(this.backup);
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  // ------------------------------------------------------------------ readers

  async lease(): Promise<Work> {
    return (
      (await this.change((desk, now) => {
        reclaim(desk, now);
        return lease(desk, now);
      })) ?? { kind: "idle" }
    );
  }

  async listed(name: TaskName, after: string | null, objects: Listed[], next: string | null): Promise<ReportAnswer> {
    return (await this.change((desk, now) => listed(desk, name, after, objects, next, now))) ?? { kind: "stop" };
  }

  async listFailed(name: TaskName, error: string): Promise<void> {
    await this.change((desk) => listFailed(desk, name, error));
  }

  async beat(name: TaskName): Promise<void> {
    await this.change((desk, now) => beat(desk, name, now));
  }

  async report(given: TaskReport): Promise<ReportAnswer> {
    return (await this.change((desk, now) => report(desk, given, now))) ?? { kind: "stop" };
  }

  async fenced(name: TaskName, place: { file: number; unit: number } | null): Promise<ReportAnswer> {
    return (await this.change((desk) => fenced(desk, name, place))) ?? { kind: "stop" };
  }

  async batchOpened(name: TaskName, round: number, batchId: string): Promise<NextBatch> {
    const next = await this.change((desk) => batchOpened(desk, name, round, batchId));
    return next ?? { kind: "stop", isKnown: false };
  }

  async doneFiles(
    name: TaskName,
    after: number,
    limit: number,
  ): Promise<{ number: number; key: string; etag: string }[] | null> {
    return this.change((desk, now) => {
      const task = this.finishing(name);
      if (task === null) return null;
      task.deadline = now + READER_SILENCE_MS;
      desk.book.saveTask(task);
      return doneFiles(desk.book, after, limit);
    });
  }

  async finished(name: TaskName): Promise<ImportRecord | null> {
    return this.change((desk, now) => {
      const task = this.finishing(name);
      if (task === null) return null;
      setTask(desk, task, "DONE");
      desk.state.isFinished = true;
      desk.state.finished_at = now;
      return recordOf(desk);
    });
  }

  private finishing(name: TaskName) {
    const task = this.book.task(name.task);
    return task?.kind === "finish" && task.state === "RUNNING" && task.fence === name.fence ? task : null;
  }

  // ------------------------------------------------------------------ the alarm and the doorbell

  override async alarm(): Promise<void> {
    await this.tick();
  }

  /** It never throws: an alarm that fails seven times is gone. */
  private async tick(): Promise<void> {
    try {
      await this.change((desk, now) => {
        reclaim(desk, now);
        follow(desk);
      });
    } catch (error) {
      logError("import_tick_failed", { import_id: this.ctx.id.name }, error);
      await this.ctx.storage.setAlarm(Date.now() + RING_AGAIN_MS);
    }
  }

  private load(): Desk | null {
    if (this.desk !== null) return this.desk;
    if (!this.book.exists()) return null;
    this.book.migrate();
    const state = this.book.loadState();
    if (state === null) return null;
    this.desk = { book: this.book, state, boot: parseSettings(this.env).bootId };
    return this.desk;
  }

  /** One transaction, then what follows from it. Null where the import never began, or was erased. */
  private async change<T>(work: (desk: Desk, now: number) => T): Promise<T | null> {
    const desk = this.load();
    if (desk === null) return null;
    const now = Date.now();
    let result: T;
    try {
      result = this.ctx.storage.transactionSync(() => {
        desk.state.ver += 1;
        const answer = work(desk, now);
        advance(desk);
        this.book.saveState(desk.state);
        return answer;
      });
    } catch (error) {
      // Memory may differ from the tables now.
      this.desk = null;
      throw error;
    }
    await this.ring(desk, now);
    await this.arm(desk, now);
    return result;
  }

  /** Readers that could begin now. */
  private wanted({ state, book }: Desk, now: number): number {
    if (state.isFinished || state.isPaused) return 0;
    if (book.task(FINISH_TASK)?.state === "READY") return 1;
    if (state.end !== null || now < state.notBefore) return 0;
    const slots = Math.max(0, effectiveSettings(state.spec.settings).input_concurrency - state.index.RUNNING);
    return (state.list === "READY" ? 1 : 0) + Math.min(state.index.READY, slots, 32);
  }

  private async ring(desk: Desk, now: number): Promise<void> {
    const wanted = this.wanted(desk, now);
    if (wanted === 0) this.rungAt = 0;
    if (wanted === 0 || now - this.rungAt < RING_AGAIN_MS) return;
    this.rungAt = now;
    const ring: ImportRing = { v: 1, import: desk.state.spec.id };
    try {
      await this.env.IMPORT_RINGS.sendBatch(Array.from({ length: wanted }, () => ({ body: ring })));
    } catch (error) {
      // The alarm rings again.
      this.rungAt = 0;
      logError("import_not_rung", { import_id: ring.import }, error);
    }
  }

  private async arm(desk: Desk, now: number): Promise<void> {
    const at = this.nextWake(desk, now);
    const standing = await this.ctx.storage.getAlarm();
    if (at === null || (standing !== null && standing >= now && standing <= at)) return;
    await this.ctx.storage.setAlarm(at);
    // The local runtime drops an alarm that is set while the one before is ending.
    if (desk.boot === null) return;
    if (this.backup !== null) clearTimeout(this.backup);
    this.backup = setTimeout(() => void this.tick(), at - now + 100);
  }

  private nextWake(desk: Desk, now: number): number | null {
    const { state } = desk;
    const times: number[] = [];
    if (this.wanted(desk, now) > 0) times.push(now + RING_AGAIN_MS);
    if (state.notBefore > now && !state.isFinished && !state.isPaused) times.push(state.notBefore);
    for (const task of this.book.tasks("RUNNING")) {
      times.push(desk.boot === null ? task.deadline : Math.min(task.deadline, now + BOOT_CHECK_MS));
    }
    return times.length === 0 ? null : Math.max(now + 1, Math.min(...times));
  }
}
