import { dereference, type Schema, validate } from "@cfworker/json-schema";
import { RE2JS } from "re2js";
import type { ErrorDetail } from "./error.ts";

/**
 * A job's `payload_schema`: JSON Schema 2020-12, written by strangers and run on strangers' payloads, so its cost is bounded.
 *
 * The validator interprets (Workers have no `eval`). Three things are made safe around it: regular expressions run on RE2,
 * in linear time; following `$ref` is counted, so that no recursion multiplies without end; and `uniqueItems` is not judged
 * on arrays so long that comparing every pair would take seconds. Formats are asserted. `$ref` and `$dynamicRef` stay
 * within the document, which has one resource: a nested `$id` is refused, and so the two mean the same.
 */

const MAX_SCHEMA_DEPTH = 32;
const MAX_PATTERN_LENGTH = 1000;
const MAX_REF_STEPS = 100_000;
const MAX_UNIQUE_ITEMS = 2000;
const MAX_REPORTED = 10;
const DIALECT = /^https?:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/;

/** Judges a parsed payload: no details means that it fits. Paths begin with `payload`. */
export type PayloadCheck = (payload: unknown) => ErrorDetail[];

type Json = Record<string, unknown>;
const isObject = (v: unknown): v is Json => typeof v === "object" && v !== null && !Array.isArray(v);
const isCount = (v: unknown): boolean => Number.isInteger(v) && (v as number) >= 0;
const isNumber = (v: unknown): boolean => typeof v === "number" && Number.isFinite(v);
const isString = (v: unknown): v is string => typeof v === "string";
const isNames = (v: unknown): boolean => Array.isArray(v) && v.every(isString);

const TYPES = new Set(["array", "boolean", "integer", "null", "number", "object", "string"]);
const isType = (v: unknown): boolean => isString(v) && TYPES.has(v);

const ONE_SCHEMA = new Set([
  ...["additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains", "propertyNames"],
  ...["not", "if", "then", "else"],
]);
const SCHEMA_LIST = new Set(["prefixItems", "allOf", "anyOf", "oneOf"]);
const SCHEMA_MAP = new Set(["$defs", "definitions", "properties", "patternProperties", "dependentSchemas"]);

/** Keywords that hold no schema, and what their values must be. */
const PLAIN: Record<string, { ok: (v: unknown) => boolean; want: string }> = {
  type: {
    ok: (v) => isType(v) || (Array.isArray(v) && v.length > 0 && v.every(isType)),
    want: "a type or a list of types",
  },
  const: { ok: () => true, want: "a value" },
  enum: { ok: Array.isArray, want: "a list" },
  required: { ok: isNames, want: "a list of names" },
  dependentRequired: { ok: (v) => isObject(v) && Object.values(v).every(isNames), want: "lists of names" },
  multipleOf: { ok: (v) => isNumber(v) && (v as number) > 0, want: "a number above 0" },
  maximum: { ok: isNumber, want: "a number" },
  exclusiveMaximum: { ok: isNumber, want: "a number" },
  minimum: { ok: isNumber, want: "a number" },
  exclusiveMinimum: { ok: isNumber, want: "a number" },
  maxLength: { ok: isCount, want: "a count" },
  minLength: { ok: isCount, want: "a count" },
  maxItems: { ok: isCount, want: "a count" },
  minItems: { ok: isCount, want: "a count" },
  maxContains: { ok: isCount, want: "a count" },
  minContains: { ok: isCount, want: "a count" },
  maxProperties: { ok: isCount, want: "a count" },
  minProperties: { ok: isCount, want: "a count" },
  uniqueItems: { ok: (v) => typeof v === "boolean", want: "true or false" },
  format: { ok: isString, want: "a name" },
  pattern: { ok: isString, want: "a regular expression" },
  $anchor: { ok: (v) => isString(v) && /^[A-Za-z_][-A-Za-z0-9._]*$/.test(v), want: "a plain name" },
};

/** `url` is no format of the standard, and its expression in the validator takes exponential time. */
const DROPPED_FORMATS = new Set(["url"]);

/** A pattern on RE2: as ECMAScript's `test`, unanchored; in linear time. */
export function compilePattern(pattern: string): RE2JS {
  if (pattern.length > MAX_PATTERN_LENGTH) throw new Error(`is longer than ${MAX_PATTERN_LENGTH} characters`);
  return RE2JS.compile(RE2JS.translateRegExp(pattern));
}

/** A copy of the document in the validator's own vocabulary, with everything that is wrong with it. */
class Reading {
  readonly problems: ErrorDetail[] = [];
  readonly patterns = new Map<string, RE2JS>();
  readonly refs: { schema: Schema; path: string }[] = [];
  unique = false;

  schema(source: unknown, path: string): Schema | boolean {
    if (typeof source === "boolean") return source;
    const copy: Schema = Object.create(null);
    if (!isObject(source)) {
      this.refuse(path, "must be a schema: an object or a boolean");
      return copy;
    }
    for (const [keyword, value] of Object.entries(source))
      this.keyword(copy, keyword, value, `${path}.${keyword}`, path);
    return copy;
  }

  private keyword(copy: Schema, keyword: string, value: unknown, at: string, path: string): void {
    if (ONE_SCHEMA.has(keyword)) {
      copy[keyword] = this.schema(value, at);
    } else if (SCHEMA_LIST.has(keyword)) {
      if (!Array.isArray(value) || value.length === 0) this.refuse(at, "must be a list of schemas, not empty");
      else copy[keyword] = value.map((v, i) => this.schema(v, `${at}[${i}]`));
    } else if (SCHEMA_MAP.has(keyword)) {
      if (!isObject(value)) this.refuse(at, "must be an object of schemas");
      else copy[keyword] = this.map(keyword, value, at);
    } else if (keyword === "$ref" || keyword === "$dynamicRef") {
      this.ref(copy, value, at);
    } else if (keyword === "$dynamicAnchor") {
      this.keyword(copy, "$anchor", value, at, path);
    } else if (keyword === "$id" || keyword === "$schema") {
      this.identity(keyword, value, at, path);
    } else {
      this.plain(copy, keyword, value, at);
    }
  }

  private map(keyword: string, value: Json, at: string): Json {
    const copy: Json = Object.create(null);
    for (const [name, schema] of Object.entries(value)) {
      if (keyword === "patternProperties") this.pattern(name, `${at}.${name}`);
      copy[name] = this.schema(schema, `${at}.${name}`);
    }
    return copy;
  }

  private ref(copy: Schema, value: unknown, at: string): void {
    if (!isString(value) || !value.startsWith("#")) {
      this.refuse(at, "must stay within the document (begin with #)");
    } else if (copy.$ref !== undefined) {
      this.refuse(at, "stands beside another reference");
    } else {
      copy.$ref = value;
      this.refs.push({ schema: copy, path: at });
    }
  }

  private identity(keyword: string, value: unknown, at: string, path: string): void {
    const root = path === ROOT;
    if (keyword === "$id" && !root) this.refuse(at, "is not supported below the root");
    if (keyword === "$schema" && !(root && isString(value) && DIALECT.test(value))) {
      this.refuse(at, "must be JSON Schema 2020-12, at the root");
    }
  }

  private plain(copy: Schema, keyword: string, value: unknown, at: string): void {
    const rule = Object.hasOwn(PLAIN, keyword) ? PLAIN[keyword] : undefined;
    if (!rule) return; // Annotations and unknown keywords assert nothing.
    if (!rule.ok(value)) {
      this.refuse(at, `must be ${rule.want}`);
      return;
    }
    if (keyword === "format" && DROPPED_FORMATS.has(value as string)) return;
    if (keyword === "pattern") this.pattern(value as string, at);
    if (keyword === "uniqueItems" && value === true) this.unique = true;
    copy[keyword] = value;
  }

  private pattern(pattern: string, at: string): void {
    try {
      this.patterns.set(pattern, compilePattern(pattern));
    } catch (error) {
      this.refuse(at, `is not a regular expression in RE2 syntax: ${(error as Error).message}`);
    }
  }

  private refuse(path: string, message: string): void {
    this.problems.push({ path, message });
  }
}

const ROOT = "payload_schema";
// Only a name to hang references on: nothing is ever fetched.
const BASE = new URL("https://payload-schema.invalid/");

function depthOf(value: unknown, limit: number): number {
  if (typeof value !== "object" || value === null) return 0;
  if (limit === 0) return 1;
  let deepest = 0;
  for (const child of Object.values(value)) deepest = Math.max(deepest, depthOf(child, limit - 1));
  return deepest + 1;
}

interface Read {
  reading: Reading;
  schema: Schema | boolean;
  lookup: Record<string, Schema | boolean>;
}

function read(source: unknown): Read | ErrorDetail[] {
  if (depthOf(source, MAX_SCHEMA_DEPTH) > MAX_SCHEMA_DEPTH) {
    return [{ path: ROOT, message: `is nested deeper than ${MAX_SCHEMA_DEPTH} levels` }];
  }
  const reading = new Reading();
  const schema = reading.schema(source, ROOT);
  if (reading.problems.length > 0) return reading.problems;
  let lookup: Record<string, Schema | boolean>;
  try {
    lookup = dereference(schema, Object.create(null), BASE);
  } catch (error) {
    return [{ path: ROOT, message: (error as Error).message }];
  }
  const dangling = reading.refs.filter((r) => lookup[r.schema.__absolute_ref__ ?? ""] === undefined);
  if (dangling.length > 0)
    return dangling.map((r) => ({ path: r.path, message: "points at no schema of the document" }));
  return { reading, schema, lookup };
}

/** What is wrong with a `payload_schema`, by the rules of contract 2; empty where nothing is. */
export function checkSchemaDocument(schema: unknown): ErrorDetail[] {
  const known = read(schema);
  return Array.isArray(known) ? known : [];
}

/**
 * The judge of a schema that `checkSchemaDocument` has passed.
 *
 * @throws Error where the document is not sound.
 */
export function compileSchema(source: unknown): PayloadCheck {
  const known = read(source);
  if (Array.isArray(known)) throw new Error(`${known[0]?.path}: ${known[0]?.message}`);
  const { reading, schema, lookup } = known;
  const steps = { left: 0 };
  const counted = countedLookup(lookup, steps);
  return (payload) => {
    if (reading.unique && hasLongArray(payload)) {
      return [
        {
          path: "payload",
          message: `holds an array of more than ${MAX_UNIQUE_ITEMS} elements, too long for uniqueItems`,
        },
      ];
    }
    steps.left = MAX_REF_STEPS;
    try {
      const judge = (stopsAtFirst: boolean) => validate(payload, schema, "2020-12", counted, stopsAtFirst);
      const { valid, errors } = onRe2(reading.patterns, () => {
        const result = judge(true);
        return result.valid || !isSmall(payload) ? result : judge(false);
      });
      return valid ? [] : errors.length === 0 ? [NOT_FITTING] : leaves(errors, payload);
    } catch (error) {
      // RangeError is the stack's end: the same endless recursion, met earlier.
      if (error instanceof TooCostly || error instanceof RangeError) return [TOO_COSTLY];
      // The validator writes the names that it passes as URIs.
      if (error instanceof URIError) return [ILL_FORMED_NAME];
      throw error;
    }
  };
}

class TooCostly extends Error {}
const TOO_COSTLY: ErrorDetail = { path: "payload", message: "takes too many steps to judge by the payload_schema" };
const ILL_FORMED_NAME: ErrorDetail = {
  path: "payload",
  message: "holds a name that is not well-formed Unicode, which a payload_schema cannot judge",
};
const NOT_FITTING: ErrorDetail = { path: "payload", message: "does not fit the payload_schema" };

/** Without references the cost is bounded by schema times payload; with them, by counting every one that is followed. */
function countedLookup(lookup: Record<string, Schema | boolean>, steps: { left: number }): typeof lookup {
  const counted: typeof lookup = Object.create(null);
  for (const uri of Object.keys(lookup)) {
    Object.defineProperty(counted, uri, {
      enumerable: true,
      get: () => {
        if (--steps.left < 0) throw new TooCostly();
        return lookup[uri];
      },
    });
  }
  return counted;
}

/**
 * Runs `work` while `RegExp` means RE2. The validator builds its expressions with `new RegExp(pattern, "u")` and offers no
 * other door; `work` is synchronous, so nobody else sees the exchange.
 */
function onRe2<T>(patterns: Map<string, RE2JS>, work: () => T): T {
  const native = globalThis.RegExp;
  // A constructor that returns an object: `new` answers the compiled pattern itself, whose `test` is all that is used.
  function Linear(pattern: string): RE2JS {
    return patterns.get(pattern) ?? compilePattern(pattern);
  }
  globalThis.RegExp = Linear as unknown as RegExpConstructor;
  try {
    return work();
  } finally {
    globalThis.RegExp = native;
  }
}

/** Payloads of so many values have everything named that is wrong; of larger ones it could be millions. */
const MAX_NAMED_VALUES = 1000;

function isSmall(payload: unknown): boolean {
  let left = MAX_NAMED_VALUES;
  const count = (value: unknown): boolean =>
    --left >= 0 && (typeof value !== "object" || value === null || Object.values(value).every(count));
  return count(payload);
}

function hasLongArray(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value) && value.length > MAX_UNIQUE_ITEMS) return true;
  return Object.values(value).some(hasLongArray);
}

/** Keywords whose error only says that an error below them follows. */
const WRAPPERS = new Set([
  ...["$ref", "allOf", "if", "properties", "patternProperties", "additionalProperties", "unevaluatedProperties"],
  ...["propertyNames", "dependentSchemas", "prefixItems", "items", "unevaluatedItems"],
]);

function leaves(
  errors: { keyword: string; instanceLocation: string; error: string }[],
  payload: unknown,
): ErrorDetail[] {
  const own = errors.filter((e) => !WRAPPERS.has(e.keyword));
  return (own.length > 0 ? own : errors).slice(0, MAX_REPORTED).map((e) => {
    const [, missing] = e.keyword === "required" ? (/ required property "(.*)"\.$/s.exec(e.error) ?? []) : [];
    const path = pathOf(e.instanceLocation, payload);
    if (missing !== undefined) return { path: `${path}.${missing}`, message: "is required" };
    return {
      path,
      message: e.keyword === "false" ? "is not allowed" : e.error.slice(0, 200),
    };
  });
}

/** `#/a/0/b~1c` → `payload.a[0].b/c`. */
function pathOf(pointer: string, payload: unknown): string {
  let path = "payload";
  let at = payload;
  for (const token of pointer.split("/").slice(1)) {
    const name = decodeURIComponent(token).replaceAll("~1", "/").replaceAll("~0", "~");
    path += Array.isArray(at) ? `[${name}]` : `.${name}`;
    at = (at as Record<string, unknown> | null | undefined)?.[name];
  }
  return path.slice(0, 256);
}
