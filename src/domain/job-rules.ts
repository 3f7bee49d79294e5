import { type AddressPolicy, checkAddress } from "./address.ts";
import { isTimeZone, parseCron } from "./cron.ts";
import { expandUrl } from "./env-template.ts";
import type { ErrorDetail } from "./error.ts";
import { isUuid } from "./id.ts";
import type { JobSpec } from "./job.ts";
import type { JobChange } from "./job-fields.ts";
import { mappingProblems } from "./payload-mapping.ts";
import { checkSchemaDocument } from "./payload-schema.ts";
import { judgeEndpoint } from "./service-endpoint.ts";

/** A document beyond this many characters is no schema but a table. */
const MAX_SCHEMA_CHARS = 256 * 1024;

const ENDPOINT_FIELDS = ["endpoint_url", "fallback_endpoint_url"] as const;
const CRON_FIELDS = ["cron", "execution_window_cron"] as const;

/** Fields that hold the id of another object of the project. */
const NAMED = { group_id: "group", environment_id: "environment" } as const;
export const unknownNamed = (what: string): string => `names no ${what} of the project`;

/** What of the deployment URLs are judged by. */
export interface EndpointRules {
  address: AddressPolicy;
  /** Whether the job's project may call the service of this name. */
  isMapped: (service: string) => boolean;
}

/** What is wrong with a URL that calls go to, wherever it is written; variables may stand for anything. */
export function endpointProblem(url: string, { address, isMapped }: EndpointRules): string | null {
  const sample = expandUrl(url, () => "x");
  if (sample.kind === "refused") return sample.message;
  const endpoint = judgeEndpoint(sample.text, address, isMapped);
  return endpoint.kind === "refused" ? endpoint.message : null;
}

/** What is wrong with fields each by itself, beyond their bounds. Absent fields are not judged. */
export function fieldProblems(change: JobChange, rules: EndpointRules): ErrorDetail[] {
  const details: ErrorDetail[] = [];
  const refuse = (path: string, message: string | null): void => {
    if (message !== null) details.push({ path, message });
  };
  for (const field of ENDPOINT_FIELDS) {
    const url = change[field];
    if (typeof url === "string") refuse(field, endpointProblem(url, rules));
  }
  if (typeof change.webhook_url === "string") refuse("webhook_url", checkAddress(change.webhook_url, rules.address));
  for (const field of CRON_FIELDS) {
    const cron = change[field];
    const parsed = typeof cron === "string" ? parseCron(cron) : null;
    if (typeof parsed === "string") refuse(field, parsed);
  }
  if (change.timezone !== undefined && !isTimeZone(change.timezone)) {
    refuse("timezone", "must be an IANA time zone such as Europe/Berlin");
  }
  for (const [field, what] of Object.entries(NAMED)) {
    const id = change[field as keyof typeof NAMED];
    if (typeof id === "string" && !isUuid(id)) refuse(field, unknownNamed(what));
  }
  if (change.on_complete_payload_mapping) details.push(...mappingProblems(change.on_complete_payload_mapping));
  details.push(...schemaProblems(change.payload_schema));
  return details;
}

function schemaProblems(schema: unknown): ErrorDetail[] {
  if (schema === undefined || schema === null) return [];
  const problems = checkSchemaDocument(schema);
  if (problems.length > 0) return problems;
  // Only now: a document that is too deep would break the writer.
  return JSON.stringify(schema).length > MAX_SCHEMA_CHARS
    ? [{ path: "payload_schema", message: `is longer than ${MAX_SCHEMA_CHARS} characters` }]
    : [];
}

/** What is wrong with a job as a whole, where each field by itself is right. */
export function jobProblems(job: Omit<JobSpec, "endpoint_headers" | "slug">): ErrorDetail[] {
  const details: ErrorDetail[] = [];
  const require = (ok: boolean, path: string, message: string): void => {
    if (!ok) details.push({ path, message });
  };
  require(job.retry_strategy !== "custom" ||
    job.retry_delays_secs !== null, "retry_delays_secs", "is required with the retry_strategy custom");
  require(job.rate_limit_max === null ||
    job.rate_limit_window_secs !== null, "rate_limit_window_secs", "is required with rate_limit_max");
  require(job.rate_limit_window_secs === null ||
    job.rate_limit_max !== null, "rate_limit_max", "is required with rate_limit_window_secs");
  const names = new Set<string>();
  for (const [i, limit] of job.rate_limit_keys.entries()) {
    require(!names.has(limit.name), `rate_limit_keys[${i}].name`, "stands twice");
    names.add(limit.name);
  }
  const adaptive = job.adaptive_concurrency;
  require(adaptive === null || adaptive.min <= adaptive.max, "adaptive_concurrency.min", "must not be above max");
  require(job.cron === null ||
    job.max_concurrency_per_key === null ||
    job.concurrency_key_from !==
      null, "concurrency_key_from", "is required with cron and max_concurrency_per_key: a cron run would have no key");
  return details;
}
