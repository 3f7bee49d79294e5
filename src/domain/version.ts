import type { JobSpec } from "./job.ts";

/** Equal as JSON values: the order of an object's names does not count. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b) || a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every(
    (name) =>
      Object.hasOwn(b, name) && sameValue((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]),
  );
}

/** One field that two versions have differently. */
export interface FieldChange {
  field: string;
  from: unknown;
  to: unknown;
}

/** What a secret shows of itself in a difference. */
const SECRET_SET = "set";

const SECRETS: readonly (keyof JobSpec)[] = ["endpoint_signing_secret", "webhook_secret"];

/**
 * The fields that differ, in the model's order. Secrets show only that they are `set`: both set means that the value was
 * replaced. Headers are compared one by one.
 */
export function diffSpecs(from: JobSpec, to: JobSpec): FieldChange[] {
  const changes: FieldChange[] = [];
  for (const field of Object.keys(to) as (keyof JobSpec)[]) {
    if (field === "endpoint_headers") changes.push(...diffHeaders(from.endpoint_headers, to.endpoint_headers));
    else if (!sameValue(from[field], to[field])) {
      const shown = (value: unknown): unknown => (SECRETS.includes(field) ? masked(value) : value);
      changes.push({ field, from: shown(from[field]), to: shown(to[field]) });
    }
  }
  return changes;
}

const masked = (sealed: unknown): string | null => (sealed === null || sealed === undefined ? null : SECRET_SET);

function diffHeaders(from: Record<string, string>, to: Record<string, string>): FieldChange[] {
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])];
  return names
    .filter((name) => from[name] !== to[name])
    .map((name) => ({ field: `endpoint_headers.${name}`, from: masked(from[name]), to: masked(to[name]) }));
}
