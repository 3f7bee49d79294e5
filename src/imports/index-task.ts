import { objectUrl, parseObjectUrl } from "../domain/object-url.ts";
import { BrokenObject } from "../domain/row-reader.ts";
import { FileReading, type Slice } from "./file-reading.ts";
import { Ended, Handover, Leaving } from "./handover.ts";
import type { ImportPorts } from "./ports.ts";
import { type FileEntry, type ImportCoordinatorApi, NO_PROGRESS, type Work } from "./protocol.ts";
import { Reporter, Stopped } from "./reporter.ts";
import { type ObjectSource, SourceError } from "./source.ts";

/** A reader leaves after so long, at the end of a file. */
const LEAVE_AFTER_MS = 30_000;
/** …and in the middle of one after so long: an invocation has its bounds. */
const LEAVE_INSIDE_MS = 240_000;

const sliceFrom = (began: number): Slice => ({
  isOverAtFile: () => Date.now() - began > LEAVE_AFTER_MS,
  isOverInside: () => Date.now() - began > LEAVE_INSIDE_MS,
});

/** Reads the files of a task and hands over what is in them. */
export async function readTask(
  leased: Work & { kind: "index" },
  coordinator: ImportCoordinatorApi,
  ports: ImportPorts,
): Promise<void> {
  const work = await withPreviousFenced(leased, coordinator, ports);
  if (work === null) return;
  const first = work.files[0];
  const current = first?.progress ? { number: first.number, progress: first.progress } : null;
  const reporter = new Reporter(work.name, work.spec, coordinator, ports, current);
  try {
    await readFiles(work, coordinator, ports, reporter);
  } catch (error) {
    if (error instanceof Stopped) return;
    if (error instanceof Ended) {
      await reporter.end({ kind: "abort", reason: error.message, isCanceled: error.isCanceled });
    } else if (error instanceof Leaving) {
      await reporter.end({ kind: "leaving", afterMs: error.afterMs, why: error.why });
    } else if (error instanceof SourceError) {
      await reporter.end({ kind: "abort", reason: error.message, isCanceled: false });
    } else throw error;
  } finally {
    reporter.close();
  }
}

/** Nobody else brings anything of the stream that the task had before; how far that came is told. */
async function withPreviousFenced(
  work: Work & { kind: "index" },
  coordinator: ImportCoordinatorApi,
  ports: ImportPorts,
): Promise<(Work & { kind: "index" }) | null> {
  if (work.previous === null) return work;
  const answer = await coordinator.fenced(work.name, await ports.fence(work.spec, work.previous));
  return answer.kind === "stop" ? null : { ...work, files: answer.files };
}

async function readFiles(
  work: Work & { kind: "index" },
  coordinator: ImportCoordinatorApi,
  ports: ImportPorts,
  reporter: Reporter,
): Promise<void> {
  const { spec } = work;
  const delivery = await ports.delivery(spec);
  if ("gone" in delivery) throw new Ended(delivery.gone);
  const source = await ports.source(spec);
  const handover = new Handover(work, coordinator, ports, delivery, reporter);
  const slice = sliceFrom(Date.now());
  for (let files = work.files; files.length > 0; ) {
    for (const file of files) {
      if (slice.isOverAtFile()) {
        await handover.flush(null);
        await handover.arrived();
        await reporter.end({ kind: "leaving", afterMs: 0, why: null });
        return;
      }
      if (spec.delivery === "file") await handFileOver(work, file, handover);
      else await new FileReading(work, file, await present(source, file), source, handover, reporter, slice).read();
    }
    const last = files[files.length - 1] as FileEntry;
    if (work.range !== null) break;
    await handover.flush(null);
    await handover.arrived();
    files = await reporter.moreFiles(last.number);
  }
  await handover.flush(null);
  await handover.arrived();
  await reporter.end({ kind: "done" });
}

/** A file that failed before may be another object by now. */
async function present(
  source: ObjectSource,
  file: FileEntry,
): Promise<{ etag: string; size: number } | { problem: string }> {
  if (!file.isRetry) return file;
  try {
    return (await source.head(file.key)) ?? { problem: `NoSuchKey: ${file.key} is not there any more` };
  } catch (error) {
    if (error instanceof SourceError || error instanceof BrokenObject) return { problem: error.message };
    throw error;
  }
}

/** The object itself is not read: its run gets its address. */
async function handFileOver(work: Work & { kind: "index" }, file: FileEntry, handover: Handover): Promise<void> {
  const { key, etag, size, number } = file;
  const place = parseObjectUrl(work.spec.source.url);
  if (typeof place === "string") throw new Error("the import's source is wrong");
  const url = objectUrl(place, key);
  const payload = JSON.stringify({ url, bucket: place.bucket, key, etag, size });
  const item = handover.judge(payload);
  const refusal = "problem" in item ? item.problem : null;
  if (!("problem" in item) && file.floor === 0) {
    handover.add({ file: number, unit: 0, rows: 1, payload, item });
  }
  handover.sample.push(payload);
  const one = refusal === null ? { delivered: 1, rejected: 0 } : { delivered: 0, rejected: 1 };
  if (refusal !== null) handover.rejects.push({ file: url, line: 1, byte_offset: 0, reason: refusal, raw: payload });
  const progress = { ...NO_PROGRESS, unit: 1, read: 1, ...one };
  handover.settled.push({ number, error: null, progress, lines: 0, renewed: null });
  if (handover.isFull) await handover.flush(null);
}
