import { z } from "@hono/zod-openapi";
import type { TerminalStatus } from "../../domain/run.ts";
import { projectParam, queryInt, strictQuery } from "./common.ts";
import { queryAnyOf } from "./query.ts";

/** The results of a batch operation on the wire (contract 8). */

const TERMINAL = [
  "completed",
  "failed",
  "timed_out",
  "crashed",
  "canceled",
  "expired",
] as const satisfies readonly TerminalStatus[];

const MAX_INDEX = 999_999_999;

export const resultsQuery = strictQuery({
  project_id: projectParam,
  status: queryAnyOf(TERMINAL, "Only runs of any of these statuses.").optional(),
  after_index: queryInt(0, MAX_INDEX, "Only runs beyond this index: goes on where an answer broke off.").optional(),
});

/** An answer that is lines of JSON. */
export const ndjson = (description: string) => ({
  description,
  content: { "application/x-ndjson": { schema: z.string() } },
});
