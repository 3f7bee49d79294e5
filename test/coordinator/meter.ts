import type { JobCoordinator } from "../../src/coordinator/job-coordinator.ts";
import type { Play } from "./play.ts";

export interface Meter {
  read: number;
  written: number;
}

/** Counts rows, index entries included, that the ledger's statements touch from now on. */
export async function metered(play: Play): Promise<Meter> {
  const meter: Meter = { read: 0, written: 0 };
  await play.world.inside((instance: JobCoordinator) => {
    const { ledger } = instance as unknown as { ledger: { sql: SqlStorage } };
    const real = ledger.sql;
    const exec = (query: string, ...args: SqlStorageValue[]) => {
      const cursor = real.exec(query, ...args);
      const rows = cursor.toArray();
      meter.read += cursor.rowsRead;
      meter.written += cursor.rowsWritten;
      return { toArray: () => rows, rowsWritten: cursor.rowsWritten, rowsRead: cursor.rowsRead };
    };
    ledger.sql = { exec } as unknown as SqlStorage;
  });
  return meter;
}

/** Exchanges of 16 results each, without the reference, which scans. */
export async function exchanges(play: Play, n: number): Promise<number> {
  const invocation = play.consumers.invocation();
  let ended = 0;
  for (let i = 0; i < n; i++) {
    const results = [...invocation.calls.keys()].map(() => "success" as const);
    const request = invocation.request(16, results, false, play.now);
    const answer = await play.world.stub.exchange(request);
    if (answer.kind !== "granted") throw new Error(answer.kind);
    invocation.acknowledged(answer.calls);
    ended += results.length;
    if (answer.calls.length === 0) break;
  }
  return ended;
}
