import type { RunError, RunStatus } from "./run.ts";

/** What became of one run of a batch, as a line of its results. `result` is raw JSON text, or null. */
export interface RunResult {
  index: number;
  run_id: string;
  status: RunStatus;
  result: string | null;
  error: RunError | null;
}

/** One line of NDJSON. `index`, `run_id` and `status` stand in front, so that a reader can tell without parsing what follows. */
export const resultLine = ({ index, run_id, status, result, error }: RunResult): string =>
  `{"index":${index},"run_id":"${run_id}","status":"${status}","result":${result ?? "null"},"error":${JSON.stringify(error)}}\n`;

const HEAD = /^\{"index":(\d{1,9}),"run_id":"([0-9a-f-]{36})","status":"([a-z_]+)"/;

/** What a line of ours is about. */
export function resultHead(line: string): Pick<RunResult, "index" | "run_id" | "status"> {
  const [, index, run_id, status] = HEAD.exec(line) ?? [];
  if (index === undefined || run_id === undefined) throw new Error(`not a line of results: ${line.slice(0, 80)}`);
  return { index: Number(index), run_id, status: status as RunStatus };
}
