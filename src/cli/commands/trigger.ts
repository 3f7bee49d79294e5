import type { Item } from "../../client/client.ts";
import { type Context, EXIT } from "./context.ts";

export interface TriggerOptions {
  key?: string;
  priority?: number;
  at?: string;
  dryRun?: boolean;
  watch?: boolean;
}

export async function trigger(
  context: Context,
  job: string,
  payload: string | undefined,
  options: TriggerOptions,
): Promise<number> {
  const { client, printer, signal } = context;
  const item: Item & { dry_run?: boolean } = {
    payload: payload === undefined ? undefined : parsePayload(payload),
    idempotency_key: options.key,
    priority: options.priority,
    scheduled_at: options.at,
    dry_run: options.dryRun,
  };
  const answer = (await client.trigger(job, item)) as Answered;
  if (options.dryRun) {
    printer.show(answer, () => rehearsalOf(answer));
    return EXIT.ok;
  }
  if (!options.watch || answer.id === undefined) {
    printer.show(answer, () => [answer.id, answer.outcome, answer.status].filter(Boolean).join("  "));
    return EXIT.ok;
  }
  let last = answer.status ?? "";
  for await (const run of client.runs.watch(answer.id, { signal })) {
    printer.line(run, () => `${run.id}  ${run.status}${run.error === null ? "" : `  ${run.error.message}`}`);
    last = run.status;
  }
  return last === "completed" ? EXIT.ok : EXIT.unsuccessful;
}

interface Answered {
  id?: string;
  status?: string | null;
  outcome: string;
  duplicate_of?: string | null;
  waiting_for?: string | null;
  earliest_start_at?: string | null;
}

function rehearsalOf({ outcome, duplicate_of, waiting_for, earliest_start_at }: Answered): string {
  if (outcome !== "created") return `would be a ${outcome} of ${duplicate_of}`;
  if (!waiting_for) return "would be created, and start at once";
  const from = earliest_start_at ? `, from ${earliest_start_at} on` : "";
  return `would be created, and wait for ${waiting_for}${from}`;
}

function parsePayload(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError(`the payload is not JSON: ${text.slice(0, 80)}`);
  }
}
