import { z } from "zod";
import { MAX_URL } from "./address.ts";
import { HEADER_VALUE, headerTemplateProblem } from "./env-template.ts";
import { headerProblem } from "./header-rules.ts";
import type { StatusPattern } from "./job.ts";
import { secretProblem } from "./signature.ts";
import { isSlug } from "./slug.ts";
import { strictObject } from "./strict.ts";

/**
 * The job model (contract 2) as a caller sends it: every field with its bounds. What needs several fields, or the
 * deployment's settings, stands in `job-rules`. The descriptions go into the OpenAPI document.
 */

const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes("\0");
export const text = (min: number, max: number) =>
  z.string().min(min).max(max).refine(isStorable, "must be well-formed Unicode without NUL");
const count = (min: number, max: number) => z.number().int().min(min).max(max);
const seconds = (min: number, max: number) => z.number().min(min).max(max);

const DAY_SECS = 86_400;
const MONTH_SECS = 2_592_000;
const MAX_LIMIT = 1_000_000;

/** A map of strings. `__proto__` would not survive being copied. */
const stringMap = (entries: number, key: z.ZodString | z.ZodType<string, string>, value: z.ZodType<string, string>) =>
  z
    .record(key, value)
    .refine((map) => Object.keys(map).length <= entries, `must have at most ${entries} entries`)
    .meta({ maxProperties: entries });

const key = (max: number) => text(1, max).refine((name) => name !== "__proto__", "is not allowed");

const tagsField = stringMap(
  20,
  key(64).refine((name) => !name.includes(":"), "must not contain a colon"),
  text(0, 256),
).describe("At most 20; a key has 1 to 64 characters and no colon, a value at most 256.");

export const slugField = z
  .string()
  .refine(isSlug, "must have 1 to 128 of a-z, 0-9 and -, and not look like a UUID")
  .meta({ pattern: "^[a-z0-9-]{1,128}$" })
  .describe("Unique in the project. Made from the name when absent.");

const url = (what: string) =>
  z
    .string()
    .min(1)
    .max(MAX_URL)
    .meta({ format: "uri" })
    .describe(`${what} https, or http where the deployment allows it; a public address.`);

const endpoint = (what: string) =>
  url(
    `${what} \`{{env.NAME}}\` in path and query is a variable of the environment. \`service://NAME/path\` is a Worker that ` +
      "the deployment maps for the project. Else:",
  );

const statuses = (min: number) =>
  z
    .array(
      z.union([
        z.string().regex(/^[1-5]xx$/, "must be a status from 100 to 599 or a class such as 2xx"),
        count(100, 599),
      ]) satisfies z.ZodType<StatusPattern>,
    )
    .min(min)
    .max(100);

const headerValue = z
  .string()
  .max(4096)
  .regex(HEADER_VALUE, "must be printable Latin text on one line")
  .superRefine((value, ctx) => {
    const problem = headerTemplateProblem(value);
    if (problem !== null) ctx.addIssue({ code: "custom", message: problem });
  });

export const MAX_SECRET = 512;

/** For a secret that signs: one that is too short, or no base64 where it says so. */
export function refuseWeakSecret(secret: string, ctx: z.RefinementCtx): void {
  const message = secretProblem(secret);
  if (message !== null) ctx.addIssue({ code: "custom", message });
}

/** Extra headers. Null keeps the value that is there. */
const headersField = z
  .record(z.string(), headerValue.nullable())
  .superRefine((headers, ctx) => {
    const seen = new Set<string>();
    for (const name of Object.keys(headers)) {
      const problem = seen.has(name.toLowerCase()) ? "stands twice" : headerProblem(name);
      seen.add(name.toLowerCase());
      if (problem !== null) ctx.addIssue({ code: "custom", message: problem, path: [name] });
    }
  })
  .refine((headers) => Object.keys(headers).length <= 32, "must have at most 32 entries")
  .meta({ maxProperties: 32 })
  .describe(
    "Extra headers of the call, with `{{env.NAME}}` for variables of the environment. Values are write-only; null keeps " +
      "the value that is there.",
  );

const secret = (what: string) =>
  text(0, MAX_SECRET)
    .superRefine(refuseWeakSecret)
    .nullable()
    .describe(`${what} At least 8 characters, or base64 behind \`whsec_\`. Write-only, encrypted at rest.`);

const rateLimit = strictObject({
  name: text(1, 64).refine((name) => !name.includes(":"), "must not contain a colon"),
  max: count(1, MAX_LIMIT),
  window_secs: count(1, DAY_SECS),
});

const identifier = () => z.string().max(64).nullable();

/** Every settable field, as it must be where it is given. */
export const jobShape = {
  group_id: identifier().describe("The job's group."),
  environment_id: identifier().describe("The environment whose variables the job uses."),
  name: text(1, 255),
  slug: slugField,
  description: text(0, 2000).nullable(),
  tags: tagsField,
  cron: z
    .string()
    .nullable()
    .describe(
      "Five fields: minute, hour, day of month, month, day of week (0 to 6, Sunday is 0, or names). A fixed hour that a time " +
        "change skips runs at the next valid minute, one that it repeats runs once; `*` and `*/n` hours follow real time. Of " +
        "minutes missed (an outage, a pause, disabled, a closed window) the latest one runs.",
    ),
  timezone: z.string().describe("An IANA time zone, for `cron` and `execution_window_cron`."),
  cron_overlap_policy: z
    .enum(["allow", "skip", "cancel_running"])
    .describe(
      "While a run of the job's cron lives, waiting or executing: make another, make none, or cancel it first.",
    ),
  payload_schema: z
    .unknown()
    .describe("JSON Schema 2020-12 for payloads; at most 32 levels deep, no remote `$ref`, patterns in RE2 syntax."),
  endpoint_url: endpoint("What is called for each item."),
  fallback_endpoint_url: endpoint("Called once more in the same attempt when the primary is down.").nullable(),
  endpoint_method: z.enum(["POST", "PUT", "PATCH"]),
  endpoint_headers: headersField,
  endpoint_signing_secret: secret("Signs the call."),
  success_statuses: statuses(1).nullable().describe('What completes a run, as `["2xx", 409]`. Null: 2xx.'),
  retry_statuses: statuses(0).nullable().describe("What is tried again. Null: 408, 425, 429, 5xx."),
  max_attempts: count(1, 100),
  timeout_secs: count(1, 780).describe("Of each call."),
  retry_strategy: z.enum(["exponential", "linear", "fixed", "custom"]),
  retry_delays_secs: z
    .array(seconds(0, DAY_SECS))
    .min(1)
    .max(100)
    .nullable()
    .describe("For `custom`; the last one repeats."),
  retry_base_secs: seconds(0, DAY_SECS),
  retry_max_secs: seconds(0, DAY_SECS).describe("Caps a delay; not for `custom`."),
  retry_jitter: z.number().min(0).max(1).describe("The share by which a delay varies, up and down."),
  on_lost: z
    .enum(["retry", "crash"])
    .describe("A call whose consumer vanished: made again, up to 3 times at no attempt, or never."),
  max_concurrency: count(1, MAX_LIMIT).nullable().describe("Calls in flight. Null: the deployment's cap."),
  max_concurrency_per_key: count(1, MAX_LIMIT).nullable().describe("Calls in flight with one `concurrency_key`."),
  concurrency_key_from: text(1, 256)
    .regex(/^[^.]+(\.[^.]+)*$/, "must be names joined by dots, such as payload.tenant_id")
    .nullable()
    .describe("A path such as `payload.tenant_id` that gives the key of an item without one."),
  rate_limit_max: count(1, MAX_LIMIT).nullable().describe("Call starts in any window of `rate_limit_window_secs`."),
  rate_limit_window_secs: count(1, DAY_SECS).nullable(),
  rate_limit_keys: z.array(rateLimit).max(16).describe("Named limits."),
  hold_on_retry_after: z.boolean(),
  adaptive_concurrency: strictObject({ min: count(1, MAX_LIMIT), max: count(1, MAX_LIMIT) }).nullable(),
  circuit_breaker: strictObject({
    failures: count(1, 10_000),
    window_secs: count(1, DAY_SECS),
    open_secs: count(1, DAY_SECS),
  }).nullable(),
  dedup_window_secs: count(0, MONTH_SECS).nullable().describe("Null or 0: off."),
  execution_window_cron: z
    .string()
    .nullable()
    .describe("When calls may start; a minute field of `0` or `*` opens the whole hour."),
  run_ttl_secs: count(1, MONTH_SECS).nullable().describe("A run not begun by then expires. Null: never."),
  default_run_metadata: stringMap(20, key(256), text(0, 4096)),
  enabled: z.boolean().describe("A disabled job refuses triggers and holds what waits."),
  webhook_url: url("Told of every run that ends while it stands here, until it has heard of each.").nullable(),
  webhook_secret: secret("Signs the webhooks."),
  on_complete_trigger_workflow: slugField
    .nullable()
    .describe("The slug of a workflow that each completed run starts, once."),
  on_complete_payload_mapping: stringMap(100, key(256), text(1, 1024))
    .nullable()
    .describe(
      "That workflow's payload: names, each with a path such as `result.user.id` that starts at result, payload, metadata or " +
        "run, else is taken from the result. What is missing is null. Null: the payload is the result.",
    ),
  version_policy: z
    .enum(["pin", "latest", "minor"])
    .describe(
      "What a run that waits or retries uses: the version it was triggered with, the newest, or the newest that an unbroken " +
        "line of `backwards_compatible` versions reaches from there.",
    ),
  backwards_compatible: z.boolean().describe("With the version before this one, for `minor`."),
} as const;

/** Shown, never set. */
export const READ_ONLY_FIELDS = [
  ...["id", "paused", "version", "version_id", "created_by", "updated_by", "created_at", "updated_at"],
  ...["endpoint_signing_secret_set", "webhook_secret_set"],
];

/** What a field is when a job is created without it. Maps and lists are copied before use. */
export const JOB_DEFAULTS = {
  group_id: null,
  environment_id: null,
  description: null,
  tags: {},
  cron: null,
  timezone: "UTC",
  cron_overlap_policy: "allow",
  payload_schema: null,
  fallback_endpoint_url: null,
  endpoint_method: "POST",
  endpoint_headers: {},
  endpoint_signing_secret: null,
  success_statuses: null,
  retry_statuses: null,
  max_attempts: 3,
  timeout_secs: 300,
  retry_strategy: "exponential",
  retry_delays_secs: null,
  retry_base_secs: 1,
  retry_max_secs: 3600,
  retry_jitter: 0.2,
  on_lost: "retry",
  max_concurrency: null,
  max_concurrency_per_key: null,
  concurrency_key_from: null,
  rate_limit_max: null,
  rate_limit_window_secs: null,
  rate_limit_keys: [],
  hold_on_retry_after: false,
  adaptive_concurrency: null,
  circuit_breaker: null,
  dedup_window_secs: null,
  execution_window_cron: null,
  run_ttl_secs: null,
  default_run_metadata: {},
  enabled: true,
  webhook_url: null,
  webhook_secret: null,
  on_complete_trigger_workflow: null,
  on_complete_payload_mapping: null,
  version_policy: "pin",
  backwards_compatible: true,
} as const satisfies Partial<JobInput>;

/** A job as a caller describes it, every field given. Secrets are plain; a null header keeps the value that is there. */
export type JobInput = z.output<z.ZodObject<typeof jobShape>>;
export type JobChange = Partial<JobInput>;
