import { z } from "zod";
import type { ErrorDetail } from "./error.ts";
import { nearest } from "./nearest.ts";

/**
 * An object schema that names every unknown field, with the nearest known name. Use with `detailsOf`.
 *
 * @param readOnly names of fields that are shown and cannot be set.
 */
export function strictObject<S extends z.core.$ZodLooseShape>(shape: S, readOnly: readonly string[] = []) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    // One issue carries all unknown keys but only one message: it carries a message a key, for detailsOf to take apart.
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? JSON.stringify((issue.keys as string[]).map((key) => unknownField(key, known, readOnly)))
        : undefined,
  });
}

function unknownField(key: string, known: readonly string[], readOnly: readonly string[]): string {
  if (readOnly.includes(key)) return "is shown only and cannot be set";
  const near = nearest(key, known);
  return near === null ? "is not a known field" : `is not a known field; did you mean ${near}?`;
}

/** Names beyond this length are cut in answers. */
const MAX_SHOWN = 128;
const shown = (name: string): string => (name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name);

/** `["items", 3, "payload"]` → `items[3].payload`. */
function formatPath(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text === "" ? shown(String(part)) : `.${shown(String(part))}`;
  }
  return text;
}

/** Every bad field of a failed parse. */
export const detailsOf = (error: z.core.$ZodError): ErrorDetail[] =>
  error.issues.flatMap((issue) => issueDetails(issue, issue.path));

function issueDetails(issue: z.core.$ZodIssue, path: readonly PropertyKey[]): ErrorDetail[] {
  if (issue.code === "unrecognized_keys") {
    const messages = messagesOf(issue.message);
    return issue.keys.map((key, i) => ({
      path: formatPath([...path, key]),
      message: messages[i] ?? "is not a known field",
    }));
  }
  if (issue.code === "invalid_union") {
    // The variant that got furthest says best what is wrong.
    const variants = issue.errors.map((issues) => issues.flatMap((i) => issueDetails(i, [...path, ...i.path])));
    const deepest = variants.find((details) => details.some((d) => d.path !== formatPath(path)));
    if (deepest) return deepest;
    const messages = [...new Set(variants.flat().map((d) => d.message))];
    return [{ path: formatPath(path), message: messages.join(", or ") || "is not allowed" }];
  }
  if (issue.code === "invalid_key" || issue.code === "invalid_element") {
    return issue.issues.flatMap((i) => issueDetails(i, path));
  }
  return [{ path: formatPath(path), message: plainMessage(issue.message) }];
}

function messagesOf(text: string): string[] {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed.map(String) : [];
  } catch {
    return [];
  }
}

/** The library's wording, as the second half of "field: …". */
function plainMessage(message: string): string {
  if (message.endsWith("received undefined")) return "is required";
  const known = message.match(/^(?:Invalid input|Invalid option|Invalid string|Invalid key in record): (.*)$/s);
  return known?.[1] ?? message;
}
