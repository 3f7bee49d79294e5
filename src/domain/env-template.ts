/**
 * `{{env.NAME}}` in a job's URLs and headers (contract 7). In a URL it stands in path or query only and what it stands for
 * is percent-encoded, so that no value can change scheme, host, the number of path segments or of query parameters.
 */

const NAME = "[A-Za-z_][A-Za-z0-9_]{0,127}";
const VARIABLE_NAME = new RegExp(`^${NAME}$`);
const PLACEHOLDER = new RegExp(`\\{\\{env\\.(${NAME})\\}\\}`, "g");

export const isVariableName = (text: string): boolean => VARIABLE_NAME.test(text);

/** What a variable stands for; undefined where there is none of this name. */
export type Lookup = (name: string) => string | undefined;

/** A text with its variables filled in, or why it cannot be, as the second half of "endpoint_url: …". */
export type Expansion = { kind: "expanded"; text: string } | { kind: "refused"; message: string };

const refused = (message: string): Expansion => ({ kind: "refused", message });

/** The variables that a text names, each once. */
const variablesIn = (text: string): string[] => [
  ...new Set(Array.from(text.matchAll(PLACEHOLDER), (match) => match[1] as string)),
];

const lacking = (name: string): string => `uses {{env.${name}}}, and the job's environment has no such variable`;

/** Names what a template needs and `has` denies; null where it has everything. */
export function missingVariable(template: string, has: (name: string) => boolean): string | null {
  const missing = variablesIn(template).find((name) => !has(name));
  return missing === undefined ? null : lacking(missing);
}

/** Scheme and authority; path and query; fragment. */
function urlParts(url: string): { head: string; body: string; fragment: string } {
  const head = /^[^/?#]*:\/\/[^/?#]*/.exec(url)?.[0] ?? url;
  const rest = url.slice(head.length);
  const hash = rest.indexOf("#");
  return hash === -1
    ? { head, body: rest, fragment: "" }
    : { head, body: rest.slice(0, hash), fragment: rest.slice(hash) };
}

const hasBraces = (text: string): boolean => text.includes("{{") || text.includes("}}");

/** What is wrong with a URL as a template, whatever the variables are; null where nothing is. */
export function urlTemplateProblem(url: string): string | null {
  const { head, body, fragment } = urlParts(url);
  if (hasBraces(head) || hasBraces(fragment)) return "may use {{env.NAME}} in its path and query only";
  return hasBraces(body.replace(PLACEHOLDER, "")) ? "holds braces that are not {{env.NAME}}" : null;
}

/** The same of a header's value: other braces are its own business. */
export const headerTemplateProblem = (value: string): string | null =>
  /\{\{\s*env\b/.test(value.replace(PLACEHOLDER, "")) ? "holds braces that are not {{env.NAME}}" : null;

/** The URL parser takes these for steps up and down the path, however they are spelled. */
const DOT_SEGMENT = /^(\.|%2e){1,2}$/i;

/** A URL with its variables filled in, percent-encoded. */
export function expandUrl(template: string, lookup: Lookup): Expansion {
  const problem = urlTemplateProblem(template) ?? missingVariable(template, (name) => lookup(name) !== undefined);
  if (problem !== null) return refused(problem);
  const { head, body, fragment } = urlParts(template);
  const fill = (text: string): string =>
    text.replace(PLACEHOLDER, (_, name: string) => encodeURIComponent(lookup(name) ?? ""));
  const [path = ""] = body.split("?", 1);
  for (const segment of path.split("/")) {
    if (fill(segment) !== segment && DOT_SEGMENT.test(fill(segment))) {
      return refused(`gets a path segment of dots from {{env.${variablesIn(segment)[0]}}}`);
    }
  }
  return { kind: "expanded", text: head + fill(body) + fragment };
}

/** What a header may carry: printable Latin text on one line. */
export const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Receivers refuse longer ones. */
const MAX_HEADER_CHARS = 8_192;

/** A header's value with its variables filled in as they are. */
export function expandHeader(template: string, lookup: Lookup): Expansion {
  const problem = missingVariable(template, (name) => lookup(name) !== undefined);
  if (problem !== null) return refused(problem);
  const text = template.replace(PLACEHOLDER, (_, name: string) => lookup(name) ?? "");
  if (!HEADER_VALUE.test(text)) return refused("gets characters from its variables that a header cannot carry");
  if (text.length > MAX_HEADER_CHARS)
    return refused(`is longer than ${MAX_HEADER_CHARS} characters with its variables`);
  return { kind: "expanded", text };
}
