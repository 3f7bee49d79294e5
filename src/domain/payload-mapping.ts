import type { ErrorDetail } from "./error.ts";
import { textOf } from "./json-cut.ts";
import { bounded, parsePath, rawAt } from "./template.ts";

/**
 * `on_complete_payload_mapping` (contract 7): names of the new payload, each with a path into what the completed run left.
 * A path that starts with none of the roots is taken from the result; what is missing becomes null.
 */
const MAPPING_ROOTS = ["result", "payload", "metadata", "run"] as const;
export type MappingRoot = (typeof MAPPING_ROOTS)[number];

/** Raw JSON of each root; null where the run left none. */
export type MappingFacts = Record<MappingRoot, Uint8Array | null>;

const isRoot = (name: string | undefined): name is MappingRoot => MAPPING_ROOTS.some((root) => root === name);

/** The root that a path starts from, and the names behind it. */
function splitPath(path: string): { root: MappingRoot; names: string[] } | null {
  const names = parsePath(path);
  if (names === null) return null;
  const [first, ...rest] = names;
  return isRoot(first) ? { root: first, names: rest } : { root: "result", names };
}

/** The roots that a mapping reads: what it does not name need not be loaded. */
export const rootsOf = (mapping: Record<string, string> | null): ReadonlySet<MappingRoot> =>
  new Set(mapping === null ? ["result"] : Object.values(mapping).flatMap((path) => splitPath(path)?.root ?? []));

/** Everything that is no path. */
export const mappingProblems = (mapping: Record<string, string>): ErrorDetail[] =>
  Object.entries(mapping)
    .filter(([, path]) => splitPath(path) === null)
    .map(([name]) => ({
      path: `on_complete_payload_mapping.${name}`,
      message: "must be names joined by dots, such as result.user.id",
    }));

/**
 * The payload of the workflow that follows, as JSON text. Without a mapping it is the result.
 *
 * @throws RenderedTooLarge
 */
export function mapPayload(mapping: Record<string, string> | null, facts: MappingFacts, maxChars: number): string {
  if (mapping === null) return bounded(rawText(facts.result), maxChars);
  let text = "{";
  for (const [name, path] of Object.entries(mapping)) {
    const split = splitPath(path);
    const from = split === null ? null : facts[split.root];
    const value = split === null || from === null ? null : rawAt(from, split.names);
    text = bounded(`${text}${text === "{" ? "" : ","}${JSON.stringify(name)}:${rawText(value)}`, maxChars);
  }
  return `${text}}`;
}

const rawText = (value: Uint8Array | null): string => (value === null ? "null" : textOf(value, 0, value.length));
