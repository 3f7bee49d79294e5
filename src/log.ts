import { AsyncLocalStorage } from "node:async_hooks";

/** What a log line may say beside its event: ids and numbers, so that no payload, header or secret can stand in one. */
export interface LogFields {
  request_id?: string;
  project_id?: string;
  job_id?: string;
  /** A lane's own name, where it is all that is known: it holds the job's id. */
  lane?: string | number;
  revision?: number;
  run_id?: string;
  batch_id?: string;
  import_id?: string;
  workflow_run_id?: string;
  delivery_id?: string;
  message_id?: string;
  method?: string;
  path?: string;
  code?: string;
  /** What of the Worker it is: a duty of the minute, a probe. */
  part?: string;
  minute?: number;
  seconds?: number;
}

const onBehalfOf = new AsyncLocalStorage<LogFields>();

/** Does `work`; whatever it comes to log, now or later, carries these ids too. */
export const loggingFor = <T>(ids: LogFields, work: () => T): T => onBehalfOf.run(ids, work);

/**
 * The one way to the log: a line of JSON, `{level, event, …ids, error}`. Lines are for people who operate Sluice: something did
 * not work, and is tried again or needs them.
 *
 * @param error what was thrown, or why in words.
 */
export function logError(event: string, fields: LogFields = {}, error?: unknown): void {
  const why = error === undefined ? {} : { error: typeof error === "string" ? error : String(error) };
  console.error(JSON.stringify({ level: "error", event, ...onBehalfOf.getStore(), ...fields, ...why }));
}
