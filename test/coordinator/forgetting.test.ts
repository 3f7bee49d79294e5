import { beforeAll, expect, test, vi } from "vitest";
import { forgetRequests } from "../../src/coordinator/batch-book.ts";
import { purgeSeen, remember } from "../../src/coordinator/duplicates.ts";
import { Ledger } from "../../src/coordinator/ledger.ts";
import { SPEC } from "../fixtures/job-spec.ts";
import { EPOCH, World } from "./world.ts";

/** What every alarm forgets by its age costs no more where there is much that is young. */

const ROWS = 3_000;
const OLD = 30;
const A_DAY = 24 * 3_600_000;
const NOW = EPOCH + 2 * A_DAY;

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
});

/** A ledger in a real object, and how many rows its statements read. */
async function withLedger<T>(name: string, work: (ledger: Ledger, reads: (of: () => void) => number) => T): Promise<T> {
  const world = new World(name, 6, null);
  await world.begin();
  return world.inside((_instance, state) => {
    let read = 0;
    const exec = (query: string, ...args: SqlStorageValue[]) => {
      const cursor = state.storage.sql.exec(query, ...args);
      const rows = cursor.toArray();
      read += cursor.rowsRead;
      return { toArray: () => rows, rowsWritten: cursor.rowsWritten };
    };
    const ledger = new Ledger({ exec } as unknown as SqlStorage);
    ledger.migrate();
    return work(ledger, (of) => {
      const before = read;
      of();
      return read - before;
    });
  });
}

const countOf = (ledger: Ledger, table: string): number =>
  ledger.all(`SELECT count(*) AS n FROM ${table}`)[0]?.n as number;

test("identities", async () => {
  const seen = await withLedger("forgets-identities", (ledger, reads) => {
    // The first of them are older than any window.
    for (let i = 0; i < ROWS; i++) {
      remember(ledger, [`k${i}`], [i], i < OLD ? NOW - 2 * A_DAY + i : NOW - 1_000 + Math.floor(i / 10));
    }
    const more: boolean[] = [];
    const steps = [0, 1, 2].map(() => reads(() => more.push(purgeSeen(ledger, SPEC, NOW))));
    return { more, steps, left: countOf(ledger, "dedup"), log: countOf(ledger, "dedup_log") };
  });
  expect(seen).toMatchObject({ more: [true, false, false], left: ROWS - OLD, log: ROWS - OLD });
  expect(Math.max(...seen.steps)).toBeLessThan(200);
});

test("answers of requests", async () => {
  const seen = await withLedger("forgets-requests", (ledger, reads) => {
    for (let i = 0; i < ROWS; i++) {
      const at = i % 100 === 0 ? NOW - 2 * A_DAY : NOW - i;
      ledger.run("INSERT INTO requests VALUES (?, '', ?, NULL, ?)", `key ${(i * 7919) % ROWS}`, i, at);
    }
    const steps = [0, 1].map(() => reads(() => forgetRequests(ledger, NOW)));
    return { steps, left: countOf(ledger, "requests") };
  });
  expect(seen.left).toBe(ROWS - OLD);
  expect(Math.max(...seen.steps)).toBeLessThan(200);
});
