import type { ImportSpec, Reject } from "../domain/import.ts";
import type { ImportPorts } from "./ports.ts";
import {
  BEAT_MS,
  type FileEntry,
  type FileResult,
  type ImportCoordinatorApi,
  type Progress,
  type ReportAnswer,
  type TaskName,
  type TaskReport,
} from "./protocol.ts";

/** What has been handed over, and may be told. */
export interface Step {
  rejects: Reject[];
  sample: string[];
  settled: FileResult[];
  current: { number: number; progress: Progress } | null;
}

const REPORT_EVERY_MS = 1_000;
const MAX_REJECT_CHARS = 512 * 1024;

/** The reader must not go on: paused, canceled, or another has its task. */
export class Stopped extends Error {}

/** Tells the import how far a task has come: no more than once a second, and while it waits too. */
export class Reporter {
  isStopped = false;
  private readonly name: TaskName;
  private readonly spec: ImportSpec;
  private readonly coordinator: ImportCoordinatorApi;
  private readonly ports: ImportPorts;
  private pending: Step;
  private rejectChars = 0;
  private parts = 0;
  private lastAt: number;
  private queue: Promise<unknown> = Promise.resolve();
  /** Of a report that took settled files or rejects with it: the task is to be read again from what was told before. */
  private failure: unknown = null;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    name: TaskName,
    spec: ImportSpec,
    coordinator: ImportCoordinatorApi,
    ports: ImportPorts,
    current: Step["current"],
  ) {
    this.name = name;
    this.spec = spec;
    this.coordinator = coordinator;
    this.ports = ports;
    this.pending = { rejects: [], sample: [], settled: [], current };
    this.lastAt = Date.now();
    // Where the store keeps the reader waiting, what it knows by then is told all the same.
    this.timer = setInterval(() => {
      const pause = this.hasNews ? REPORT_EVERY_MS : BEAT_MS;
      // A beat may fail, the next one comes; what must not fail unheard, whoever tells next hears of.
      if (Date.now() - this.lastAt >= pause) this.tell(null, null).catch(() => undefined);
    }, REPORT_EVERY_MS);
  }

  /** What a finished step has brought. Steps come in order. */
  add(step: Step): void {
    const { pending } = this;
    pending.rejects.push(...step.rejects);
    pending.sample.push(...step.sample);
    pending.settled.push(...step.settled);
    pending.current = step.current;
    for (const reject of step.rejects) this.rejectChars += reject.raw.length + 200;
  }

  get isDue(): boolean {
    return Date.now() - this.lastAt >= REPORT_EVERY_MS || this.rejectChars > MAX_REJECT_CHARS;
  }

  private get hasNews(): boolean {
    return this.pending.rejects.length + this.pending.settled.length > 0;
  }

  /** @throws Stopped. */
  async ifDue(): Promise<void> {
    if (this.isStopped) throw new Stopped();
    if (this.isDue) await this.tell(null, null);
    if (this.isStopped) throw new Stopped();
  }

  /** @throws Stopped. */
  async stillWanted(): Promise<void> {
    if ((await this.tell(null, null)).kind === "stop") throw new Stopped();
  }

  /** @throws Stopped. */
  async moreFiles(after: number): Promise<FileEntry[]> {
    const answer = await this.tell(after, null);
    if (answer.kind === "stop") throw new Stopped();
    return answer.files;
  }

  end(end: NonNullable<TaskReport["end"]>): Promise<ReportAnswer> {
    return this.tell(null, end);
  }

  /** One report after the other. */
  private tell(wantsAfter: number | null, end: TaskReport["end"]): Promise<ReportAnswer> {
    const told = this.queue.then(() => this.tellNow(wantsAfter, end));
    this.queue = told.catch(() => undefined);
    return told;
  }

  private async tellNow(wantsAfter: number | null, end: TaskReport["end"]): Promise<ReportAnswer> {
    if (this.failure !== null) throw this.failure;
    if (this.isStopped) return { kind: "stop" };
    const step = this.pending;
    const hasNews = this.hasNews;
    this.pending = { rejects: [], sample: [], settled: [], current: step.current };
    this.rejectChars = 0;
    this.lastAt = Date.now();
    try {
      const answer = await this.send(step, wantsAfter, end);
      if (answer.kind === "stop") this.isStopped = true;
      return answer;
    } catch (error) {
      if (hasNews) this.failure = error;
      throw error;
    } finally {
      this.lastAt = Date.now();
    }
  }

  private async send(
    { rejects, sample, settled, current }: Step,
    wantsAfter: number | null,
    end: TaskReport["end"],
  ): Promise<ReportAnswer> {
    const part = await this.store(rejects);
    return this.coordinator.report({ name: this.name, settled, current, part, sample, wantsAfter, end });
  }

  private async store(rejects: Reject[]): Promise<TaskReport["part"]> {
    if (rejects.length === 0) return null;
    const text = rejects.map((reject) => `${JSON.stringify(reject)}\n`).join("");
    const name = `${this.name.task}-${this.name.fence}-${this.parts++}`;
    return { key: await this.ports.storeRejects(this.spec, name, text), count: rejects.length };
  }

  close(): void {
    clearInterval(this.timer);
  }
}
