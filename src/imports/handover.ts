import type { ImportSpec } from "../domain/import.ts";
import { utf8Length } from "../domain/text-blocks.ts";
import type { Delivery, DeliveryAnswer, ImportPorts, JudgedItem, Unit } from "./ports.ts";
import type { ImportCoordinatorApi, Progress, Work } from "./protocol.ts";
import { type Reporter, type Step, Stopped } from "./reporter.ts";

const MAX_UNITS = 500;
/** One more unit fits: a chunk has at most 4 MiB, a payload 1 MiB. */
const FULL_BYTES = 3 * 1024 * 1024;
/** Payload of one batch that may wait for its calls: the job's ledger is no warehouse. */
const MAX_WAITING_BYTES = 512 * 1024 * 1024;
const WAIT_MS = 1_000;
/** Whoever cannot hand over for so long leaves, and is called again. */
const PATIENCE_MS = 20_000;
const COME_BACK_MS = 5_000;

/** The import cannot go on as it is. */
export class Ended extends Error {
  readonly isCanceled: boolean;

  constructor(reason: string, isCanceled = false) {
    super(reason);
    this.isCanceled = isCanceled;
  }
}

/** The task is given back, for another reader to go on with. */
export class Leaving extends Error {
  readonly afterMs: number;
  /** Null where there is nothing to tell. */
  readonly why: string | null;

  constructor(why: string | null) {
    super(why ?? "the reader's time is over");
    this.why = why;
    this.afterMs = why === null ? 0 : COME_BACK_MS;
  }
}

/** Gathers units and hands them to the job in chunks, one under way while the next is being read. */
export class Handover {
  private units: Unit[] = [];
  private bytes = 0;
  private step: Pick<Step, "rejects" | "sample" | "settled"> = { rejects: [], sample: [], settled: [] };
  private underWay: Promise<void> = Promise.resolve();
  private round: number;
  private batchId: string | null;
  private sentBytes = 0;
  private sentUnits = 0;
  /** Rows that the job's rules refused though they had been judged before, by file: the job was changed meanwhile. */
  private refused = new Map<number, number>();
  private readonly work: Work & { kind: "index" };
  private readonly spec: ImportSpec;
  private readonly coordinator: ImportCoordinatorApi;
  private readonly ports: ImportPorts;
  private readonly delivery: Delivery;
  private readonly reporter: Reporter;

  constructor(
    work: Work & { kind: "index" },
    coordinator: ImportCoordinatorApi,
    ports: ImportPorts,
    delivery: Delivery,
    reporter: Reporter,
  ) {
    this.work = work;
    this.spec = work.spec;
    this.coordinator = coordinator;
    this.ports = ports;
    this.delivery = delivery;
    this.reporter = reporter;
    this.round = work.round;
    this.batchId = work.batch_id;
  }

  /** A payload as the job takes it, or why not. */
  judge(payload: string): JudgedItem | { problem: string } {
    return this.delivery.judge(payload);
  }

  add(unit: Unit): void {
    this.units.push(unit);
    this.bytes += utf8Length(unit.payload);
  }

  get rejects(): Step["rejects"] {
    return this.step.rejects;
  }

  get sample(): Step["sample"] {
    return this.step.sample;
  }

  get settled(): Step["settled"] {
    return this.step.settled;
  }

  get isFull(): boolean {
    const { rejects, settled } = this.step;
    return (
      this.units.length >= MAX_UNITS ||
      this.bytes >= FULL_BYTES ||
      rejects.length >= MAX_UNITS ||
      settled.length >= MAX_UNITS
    );
  }

  get isEmpty(): boolean {
    const { rejects, settled } = this.step;
    return this.units.length + rejects.length + settled.length === 0;
  }

  /**
   * Sends what has been gathered, once what was sent before has arrived.
   *
   * @param current how far the file at hand has been read then.
   * @throws Stopped, Ended, Leaving.
   */
  async flush(current: { number: number; progress: Progress } | null): Promise<void> {
    await this.underWay;
    const { units } = this;
    const step: Step = { ...this.step, current };
    this.units = [];
    this.bytes = 0;
    this.step = { rejects: [], sample: [], settled: [] };
    this.underWay = this.send(units, step);
    // Whoever awaits it next hears of its failure; until then it must not count as unheard.
    this.underWay.catch(() => undefined);
  }

  async arrived(): Promise<void> {
    await this.underWay;
  }

  private async send(units: Unit[], step: Step): Promise<void> {
    if (units.length > 0 && !this.spec.settings.dry_run) await this.deliver(units, step);
    this.reporter.add(this.adjusted(step));
    await this.reporter.ifDue();
  }

  private async deliver(units: Unit[], step: Step): Promise<void> {
    for (const began = Date.now(); ; ) {
      if (this.reporter.isStopped) throw new Stopped();
      const answer = await this.sendOnce(units);
      switch (answer.kind) {
        case "taken":
          this.noteRefused(units, answer.refused, step);
          for (const unit of units) this.sentBytes += unit.payload.length;
          this.sentUnits += units.length;
          await this.holdBack(answer.waiting, began);
          return;
        case "closed":
          if (answer.why === "canceled") throw new Ended("its batch operation was canceled", true);
          if (answer.why === "stopped") throw new Ended("its batch operation was stopped by its failure threshold");
          await this.nextBatch(answer.why === "full");
          break;
        case "fenced":
          throw new Stopped();
        case "gone":
          throw new Ended(answer.why);
        case "wait":
          if (Date.now() - began > PATIENCE_MS) throw new Leaving(answer.why);
          await sleep(Math.min(answer.ms, WAIT_MS));
      }
    }
  }

  private async sendOnce(units: Unit[]): Promise<DeliveryAnswer> {
    if (this.batchId === null) await this.nextBatch(false);
    const { stream, name } = this.work;
    return this.delivery.send({ batchId: this.batchId as string, stream, fence: name.fence, units });
  }

  /** The batch is full, or was closed: the import goes on in the next one. */
  private async nextBatch(isFull: boolean): Promise<void> {
    const before = this.batchId;
    // Where the import has ended meanwhile, nothing is opened.
    await this.reporter.stillWanted();
    const round = this.round + 1;
    const opened = await this.ports.openBatch(this.spec, round);
    if (opened.kind === "gone") throw new Ended(opened.why);
    if (opened.kind === "wait") throw new Leaving(opened.why);
    const next = await this.coordinator.batchOpened(this.work.name, round, opened.batch_id);
    if (next.kind === "stop") {
      if (!next.isKnown) await this.ports.seal(this.spec, opened.batch_id);
      throw new Stopped();
    }
    this.round = next.round;
    this.batchId = next.batch_id;
    if (isFull && before !== null) await this.ports.seal(this.spec, before);
  }

  private noteRefused(units: Unit[], refused: ReadonlyMap<number, string>, step: Step): void {
    for (const [i, reason] of refused) {
      const unit = units[i];
      if (!unit) continue;
      this.refused.set(unit.file, (this.refused.get(unit.file) ?? 0) + unit.rows);
      step.rejects.push({
        file: this.spec.source.url,
        line: null,
        byte_offset: 0,
        reason,
        raw: unit.payload.slice(0, 4096),
      });
    }
  }

  private adjusted(step: Step): Step {
    if (this.refused.size === 0) return step;
    const adjust = (number: number, progress: Progress): Progress => {
      const rows = this.refused.get(number) ?? 0;
      return { ...progress, delivered: progress.delivered - rows, rejected: progress.rejected + rows };
    };
    return {
      ...step,
      settled: step.settled.map((result) => ({ ...result, progress: adjust(result.number, result.progress) })),
      current: step.current && { ...step.current, progress: adjust(step.current.number, step.current.progress) },
    };
  }

  /** Waits while too much of the batch waits. */
  private async holdBack(waiting: number, began: number): Promise<void> {
    let left = waiting;
    while ((left * this.sentBytes) / Math.max(1, this.sentUnits) > MAX_WAITING_BYTES) {
      if (this.reporter.isStopped) throw new Stopped();
      if (Date.now() - began > PATIENCE_MS) throw new Leaving("waits until the job has worked off what it was given");
      await sleep(WAIT_MS);
      left = await this.delivery.waiting(this.batchId as string);
    }
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
