import { afterEach, describe, expect, test, vi } from "vitest";
import { importOf } from "../../src/imports/client.ts";
import { readImport } from "../../src/imports/consumer.ts";
import { readTask } from "../../src/imports/index-task.ts";
import { listObjects } from "../../src/imports/list-task.ts";
import type { ImportPorts } from "../../src/imports/ports.ts";
import { type ImportCoordinatorApi, NO_PROGRESS } from "../../src/imports/protocol.ts";
import { Reporter } from "../../src/imports/reporter.ts";
import { importPorts } from "../../src/operations/import-ports.ts";
import { bindings } from "../http/ask.ts";
import { begin, expire, Killed } from "./readers.ts";
import { ndjson, newImportWorld, numbered } from "./world.ts";

/** What readers tell: it counts once, and none of it is lost unheard. */

/** Dies behind its last report: it has told what it read, and not that this was the end. */
const dyingAtTheEnd = (own: ImportCoordinatorApi): ImportCoordinatorApi =>
  new Proxy(own, {
    get: (target, method) =>
      method !== "report"
        ? Reflect.get(target, method)
        : async (given: Parameters<ImportCoordinatorApi["report"]>[0]) => {
            if (given.settled.length === 0) return target.report(given);
            await target.report({ ...given, end: null });
            throw new Killed();
          },
  });

test("a range whose reader dies behind its last report counts once", async () => {
  const world = await newImportWorld();
  const rows = numbered(6_000);
  await world.put("big.ndjson", ndjson(rows));
  const { id } = await begin(world, "row");
  const own = importOf(bindings, id);
  const ports = importPorts(bindings);
  const died = new Set<number>();
  for (let work = await own.lease(); work.kind === "list" || work.kind === "index"; work = await own.lease()) {
    if (work.kind === "list") await listObjects(work, own, ports);
    else if (died.has(work.name.task)) await readTask(work, own, ports);
    else {
      died.add(work.name.task);
      await expect(readTask(work, dyingAtTheEnd(own), ports)).rejects.toThrow(Killed);
    }
    await expire(id);
  }
  await expire(id);
  await readImport(id, bindings, ports);
  const record = await own.view();
  expect(died.size).toBeGreaterThan(2);
  expect(record).toMatchObject({
    ...{ status: "done", percent_complete: 1, files: { total: 1, done: 1, failed: 0 } },
    rows: { read: rows.length, delivered: rows.length, rejected: 0 },
  });
  expect(record?.bytes.done).toBe(record?.bytes.total);
  const sent = (await world.payloads(record)).map((payload) => Number(payload.n)).sort((a, b) => a - b);
  expect(sent).toEqual(rows.map(({ n }) => n));
});

describe("a reporter", () => {
  afterEach(() => void vi.useRealTimers());

  /** With a store of rejects that fails once, and what the import hears. */
  function reporterOf(failures: number) {
    vi.useFakeTimers();
    const heard: unknown[] = [];
    let left = failures;
    const own = {
      report: async (given: unknown) => {
        heard.push(given);
        return { kind: "go_on", files: [] };
      },
    } as unknown as ImportCoordinatorApi;
    const ports = {
      storeRejects: async () => {
        if (left-- > 0) throw new Error("the store is away");
        return "key";
      },
    } as unknown as ImportPorts;
    const spec = {} as ConstructorParameters<typeof Reporter>[1];
    return { reporter: new Reporter({ task: 3, fence: 1 }, spec, own, ports, null), heard };
  }

  const reject = { file: "s3://b/k", line: 1, byte_offset: 0, reason: "bad", raw: "x" };
  const settled = { number: 1, error: null, progress: NO_PROGRESS, lines: 1, renewed: null };

  test("that lost what it had to tell, while nobody waited for it, does not end as if it had told it", async () => {
    const { reporter, heard } = reporterOf(1);
    reporter.add({ rejects: [reject], sample: [], settled: [settled], current: null });
    await vi.advanceTimersByTimeAsync(2_000);
    await expect(reporter.end({ kind: "done" })).rejects.toThrow("the store is away");
    await expect(reporter.stillWanted()).rejects.toThrow("the store is away");
    expect(heard).toEqual([]);
    reporter.close();
  });

  test("that told it in time goes on", async () => {
    const { reporter, heard } = reporterOf(0);
    reporter.add({ rejects: [reject], sample: [], settled: [settled], current: null });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await reporter.end({ kind: "done" })).toEqual({ kind: "go_on", files: [] });
    expect(heard).toMatchObject([
      { settled: [settled], part: { count: 1 }, end: null },
      { settled: [], part: null },
    ]);
    reporter.close();
  });
});
