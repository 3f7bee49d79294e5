import type { ErrorDetail } from "./error.ts";
import { parseInstant } from "./instant.ts";
import {
  isNull,
  isOverfull,
  isStorable,
  MAX_ATTEMPTS,
  MAX_KEY_CHARS,
  MAX_PRIORITY,
  MAX_TIMEOUT_SECS,
  MAX_TTL_SECS,
  METADATA_BOUNDS,
  OVERFULL,
  readInteger,
  readKey,
  readLimits,
  readMap,
  stringAt,
  TAG_BOUNDS,
} from "./item-fields.ts";
import type { ItemRules } from "./item-rules.ts";
import { ObjectCursor, parsed, textOf, valueAt } from "./json-cut.ts";
import { BAD, scanValue, skipSpace } from "./json-scan.ts";
import { nearest } from "./nearest.ts";
import { MAX_BODY_BYTES } from "./run.ts";

/**
 * The item: what one run is asked for with (contract 4.1), judged from its raw bytes.
 *
 * The payload is cut out and never rebuilt, so it stays as sent, byte for byte. `null` in any other field means that the
 * field is absent. A field that stands twice is refused: parsers differ on which one counts.
 */

export const MAX_PAYLOAD_DEPTH = 64;
/** Everything of an item but its payload, in bytes. */
export const MAX_FIELD_BYTES = 64 * 1024;
/** The longest text that can be an item. */
export const MAX_ITEM_BYTES = MAX_BODY_BYTES + MAX_FIELD_BYTES;
const YEAR_MS = 366 * 86_400_000;
const MAX_DETAILS = 20;

/** A valid item, as the coordinator takes it. A field at its default is left out: it crosses the wire a million times. */
export interface TriggerItem {
  /** The payload as sent, raw JSON. */
  payload: string;
  /** What duplicates are found by (contract 4.3): `k:<key>` or `h:<sha-256>`; absent: never a duplicate. */
  identity?: string;
  priority?: number;
  concurrency_key?: string;
  rate_limit_keys?: string[];
  idempotency_key?: string;
  /** Absent or past: now. */
  scheduled_at?: number;
  ttl_secs?: number;
  tags?: Record<string, string>;
  metadata?: Record<string, string>;
  max_attempts?: number;
  timeout_secs?: number;
  /** The item's own version. */
  version?: number;
}

export interface RefusedItem {
  error: { code: string; message: string; details: ErrorDetail[] };
}

/** The item names a version that the rules do not know yet: look it up and judge again. */
export interface VersionNeeded {
  needs: string;
}

export type Verdict = TriggerItem | RefusedItem | VersionNeeded;

export const isRefused = (verdict: Verdict): verdict is RefusedItem => "error" in verdict;
export const needsVersion = (verdict: Verdict): verdict is VersionNeeded => "needs" in verdict;

/** The fields, each with its place in the scratch space. */
const FIELD = {
  payload: 0,
  idempotency_key: 1,
  concurrency_key: 2,
  rate_limit_keys: 3,
  priority: 4,
  scheduled_at: 5,
  ttl_secs: 6,
  tags: 7,
  metadata: 8,
  max_attempts: 9,
  timeout_secs: 10,
  version: 11,
} as const;
type ItemField = keyof typeof FIELD;

const ITEM_FIELDS = Object.keys(FIELD) as ItemField[];

const NAMES = ITEM_FIELDS.map((name) => new TextEncoder().encode(name));

/** Which field a raw key names, without making a string of it; -1 for none. */
function fieldIndex(bytes: Uint8Array, from: number, to: number): number {
  for (let i = 0; i < NAMES.length; i++) {
    const name = NAMES[i] as Uint8Array;
    if (name.length !== to - from || name[0] !== bytes[from]) continue;
    let at = 1;
    while (at < name.length && name[at] === bytes[from + at]) at++;
    if (at === name.length) return i;
  }
  return -1;
}

const ABSENT = -1;

/** Judges items one after the other. It holds only scratch space: every verdict stands alone. */
export class ItemJudge {
  private readonly rules: ItemRules;
  private readonly cursor = new ObjectCursor();
  private readonly starts = new Int32Array(ITEM_FIELDS.length);
  private readonly ends = new Int32Array(ITEM_FIELDS.length);
  private readonly others: readonly string[];
  private bytes: Uint8Array = new Uint8Array(0);
  private index: number | null = null;
  private details: ErrorDetail[] = [];
  private unlisted = 0;
  private tooLarge = false;
  /** Nothing is built of what is too large, too deep or no object at all. */
  private hopeless = false;

  /** @param others fields that may stand beside an item's own and that are read elsewhere. */
  constructor(rules: ItemRules, others: readonly string[] = []) {
    this.rules = rules;
    this.others = others;
  }

  /**
   * @param index in its batch, for the paths of errors; null for an item that is a whole body.
   * @param now Unix milliseconds.
   */
  judge(bytes: Uint8Array, from: number, to: number, index: number | null, now: number): Verdict {
    this.bytes = bytes;
    this.index = index;
    if (this.details.length > 0) this.details = [];
    this.unlisted = 0;
    this.tooLarge = false;
    this.hopeless = false;
    const malformed = this.cut(from, to);
    if (malformed !== null) return this.refusal("bad_request", this.path(), malformed);
    const verdict = this.read(to - from, now);
    return this.details.length === 0 ? verdict : this.refused();
  }

  /** Finds the fields. Answers what is wrong with the text as JSON. */
  private cut(from: number, to: number): string | null {
    const { bytes, cursor, starts } = this;
    starts.fill(ABSENT);
    const start = skipSpace(bytes, from, to);
    if (start === to || bytes[start] !== 0x7b) return this.noObject(start, to);
    cursor.open(bytes, start, to);
    while (cursor.next()) {
      const field = fieldIndex(bytes, cursor.keyFrom, cursor.keyTo);
      if (field === -1) this.otherField(cursor.key());
      else this.found(field);
    }
    if (cursor.failed) return `is not well-formed JSON: ${cursor.scan.problem}`;
    const behind = skipSpace(bytes, cursor.behind, to);
    return behind === to ? null : "is not well-formed JSON: has more text behind its end";
  }

  private found(field: number): void {
    const { cursor, starts, ends } = this;
    if (starts[field] !== ABSENT) this.refuse(ITEM_FIELDS[field] as ItemField, "stands twice");
    starts[field] = cursor.from;
    ends[field] = cursor.to;
    if (field !== FIELD.payload) return;
    const isDeep = cursor.depth > MAX_PAYLOAD_DEPTH;
    const isLarge = cursor.to - cursor.from > MAX_BODY_BYTES;
    if (isDeep) this.refuse("payload", `is nested deeper than ${MAX_PAYLOAD_DEPTH} levels`);
    if (isLarge) this.refuse("payload", `is larger than ${MAX_BODY_BYTES} bytes`);
    this.tooLarge ||= isLarge;
    this.hopeless ||= isDeep || isLarge;
  }

  private noObject(start: number, to: number): string | null {
    const { scan } = this.cursor;
    const behind = scanValue(this.bytes, start, to, scan);
    if (behind === BAD) return `is not well-formed JSON: ${scan.problem}`;
    if (skipSpace(this.bytes, behind, to) < to) return "is not well-formed JSON: has more text behind its end";
    this.add(this.path(), "must be an object");
    this.hopeless = true;
    return null;
  }

  private otherField(key: string): void {
    const known = ITEM_FIELDS.indexOf(key as ItemField);
    if (known !== -1) {
      this.found(known); // A known name, written with escapes.
    } else if (this.details.length >= MAX_DETAILS) {
      this.unlisted++;
    } else if (!this.others.includes(key)) {
      const near = nearest(key, [...ITEM_FIELDS, ...this.others]);
      this.add(this.path(shown(key)), near ? `is not a known field; did you mean ${near}?` : "is not a known field");
    }
  }

  private read(length: number, now: number): TriggerItem | VersionNeeded {
    const payloadBytes = this.has(FIELD.payload) ? this.end(FIELD.payload) - this.start(FIELD.payload) : 0;
    if (length - payloadBytes > MAX_FIELD_BYTES) {
      this.add(this.path(), `has more than ${MAX_FIELD_BYTES} bytes beside its payload`);
      this.hopeless = true;
    }
    if (this.hopeless) return { payload: "" };
    const item: TriggerItem = {
      payload: this.has(FIELD.payload) ? textOf(this.bytes, this.start(FIELD.payload), this.end(FIELD.payload)) : "{}",
    };
    this.readKeys(item);
    this.readNumbers(item);
    this.readMaps(item);
    this.readSchedule(item, now);
    this.readConcurrencyKey(item);
    const needed = this.readVersion(item);
    if (needed !== null || this.details.length > 0) return needed ?? item;
    this.identify(item);
    return item;
  }

  private readKeys(item: TriggerItem): void {
    if (this.given(FIELD.idempotency_key)) {
      const key = readKey(
        this.bytes,
        this.start(FIELD.idempotency_key),
        this.end(FIELD.idempotency_key),
        this.refuser("idempotency_key"),
      );
      if (key !== undefined) item.idempotency_key = key;
    }
    if (this.given(FIELD.rate_limit_keys)) {
      const value = parsed(this.bytes, this.start(FIELD.rate_limit_keys), this.end(FIELD.rate_limit_keys));
      const limits = readLimits(value, this.rules.limits, this.refuser("rate_limit_keys"));
      if (limits !== undefined) item.rate_limit_keys = limits;
    }
  }

  private readNumbers(item: TriggerItem): void {
    const priority = this.integer(FIELD.priority, 0, MAX_PRIORITY);
    if (priority !== undefined && priority !== 0) item.priority = priority;
    const ttl = this.integer(FIELD.ttl_secs, 1, MAX_TTL_SECS);
    if (ttl !== undefined) item.ttl_secs = ttl;
    const attempts = this.integer(FIELD.max_attempts, 1, MAX_ATTEMPTS);
    if (attempts !== undefined) item.max_attempts = attempts;
    const timeout = this.integer(FIELD.timeout_secs, 1, MAX_TIMEOUT_SECS);
    if (timeout !== undefined) item.timeout_secs = timeout;
  }

  private readMaps(item: TriggerItem): void {
    if (this.given(FIELD.tags)) {
      const value = parsed(this.bytes, this.start(FIELD.tags), this.end(FIELD.tags));
      const tags = readMap(value, this.path("tags"), TAG_BOUNDS, this.details);
      if (tags !== undefined && Object.keys(tags).length > 0) item.tags = tags;
    }
    if (this.given(FIELD.metadata)) {
      const value = parsed(this.bytes, this.start(FIELD.metadata), this.end(FIELD.metadata));
      const metadata = readMap(value, this.path("metadata"), METADATA_BOUNDS, this.details);
      if (metadata !== undefined && Object.keys(metadata).length > 0) item.metadata = metadata;
    }
  }

  private readSchedule(item: TriggerItem, now: number): void {
    if (!this.given(FIELD.scheduled_at)) return;
    const text = stringAt(this.bytes, this.start(FIELD.scheduled_at), this.end(FIELD.scheduled_at));
    const at = text === null ? null : parseInstant(text);
    if (at === null) this.refuse("scheduled_at", "must be an RFC 3339 time, such as 2026-11-23T09:30:00Z");
    else if (at > now + YEAR_MS) this.refuse("scheduled_at", "is more than a year ahead");
    else if (at > now) item.scheduled_at = at;
  }

  private readConcurrencyKey(item: TriggerItem): void {
    const { rules } = this;
    if (this.given(FIELD.concurrency_key)) {
      const key = readKey(
        this.bytes,
        this.start(FIELD.concurrency_key),
        this.end(FIELD.concurrency_key),
        this.refuser("concurrency_key"),
      );
      if (key !== undefined) item.concurrency_key = key;
      return;
    }
    const key = rules.keyPath === null ? null : (this.keyFromItem(rules.keyPath) ?? rules.keyDefault);
    if (key !== null && key.length > MAX_KEY_CHARS) {
      this.refuse(
        "concurrency_key",
        `taken from ${rules.keyPath?.join(".")} is longer than ${MAX_KEY_CHARS} characters`,
      );
    } else if (key !== null && !isStorable(key)) {
      this.refuse("concurrency_key", `taken from ${rules.keyPath?.join(".")} must be well-formed Unicode without NUL`);
    } else if (key !== null && key !== "") {
      item.concurrency_key = key;
    } else if (rules.keyRequired) {
      const from = rules.keyPath === null ? "" : ` (none at ${rules.keyPath.join(".")})`;
      this.refuse("concurrency_key", `is required by the job's max_concurrency_per_key${from}`);
    }
  }

  /** A string, or a number or boolean as written: digits beyond a double tell tenants apart. */
  private keyFromItem(path: readonly string[]): string | null {
    const field = path[0] === "metadata" ? FIELD.metadata : path[0] === "tags" ? FIELD.tags : FIELD.payload;
    if (!this.has(field)) return null;
    const found = valueAt(this.bytes, this.start(field), this.end(field), path.slice(1));
    if (found === null) return null;
    const text = stringAt(this.bytes, found.from, found.to);
    if (text !== null) return text;
    const c = this.bytes[found.from];
    return c === 0x7b || c === 0x5b || c === 0x6e ? null : textOf(this.bytes, found.from, found.to);
  }

  private readVersion(item: TriggerItem): VersionNeeded | null {
    let { check, metadataNames } = this.rules;
    if (this.given(FIELD.version)) {
      const value = parsed(this.bytes, this.start(FIELD.version), this.end(FIELD.version));
      const isReference = typeof value === "string" || (Number.isSafeInteger(value) && (value as number) > 0);
      const rules = isReference ? this.rules.versions.get(String(value)) : null;
      if (rules === undefined) return { needs: String(value) };
      if (rules === null) this.refuse("version", "must be a version number or a version_id of the job");
      item.version = rules?.version;
      check = rules?.check ?? null;
      metadataNames = rules?.metadataNames ?? [];
    }
    if (isOverfull(item.metadata, metadataNames)) this.refuse("metadata", OVERFULL);
    if (check !== null && this.details.length === 0) this.details.push(...this.placed(check(JSON.parse(item.payload))));
    return null;
  }

  private identify(item: TriggerItem): void {
    if (item.idempotency_key !== undefined) item.identity = `k:${item.idempotency_key}`;
    else if (this.rules.dedup) item.identity = `h:${this.rules.hashPayload(item.payload)}`;
  }

  private placed(details: ErrorDetail[]): ErrorDetail[] {
    return this.index === null ? details : details.map((d) => ({ ...d, path: this.path(d.path) }));
  }

  private has(field: number): boolean {
    return this.starts[field] !== ABSENT;
  }
  private given(field: number): boolean {
    return this.starts[field] !== ABSENT && !isNull(this.bytes, this.start(field));
  }
  private start(field: number): number {
    return this.starts[field] as number;
  }
  private end(field: number): number {
    return this.ends[field] as number;
  }
  private integer(field: number, min: number, max: number): number | undefined {
    if (!this.given(field)) return undefined;
    const refuse = this.refuser(ITEM_FIELDS[field] as ItemField);
    return readInteger(this.bytes, this.start(field), this.end(field), min, max, refuse);
  }
  private refuser(field: ItemField): (message: string) => void {
    return (message) => this.refuse(field, message);
  }
  private refuse(field: ItemField, message: string): void {
    this.add(this.path(field), message);
  }
  private add(path: string, message: string): void {
    this.details.push({ path, message });
  }
  private path(field?: string): string {
    if (this.index === null) return field ?? "body";
    return field === undefined ? `items[${this.index}]` : `items[${this.index}].${field}`;
  }
  private refused(): RefusedItem {
    const [first] = this.details;
    const others = this.details.length - 1 + this.unlisted;
    const more = others > 0 ? ` (and ${others} more)` : "";
    return {
      error: {
        code: this.tooLarge ? "payload_too_large" : "validation_failed",
        message: `${first?.path}: ${first?.message}${more}`,
        details: this.details.slice(0, MAX_DETAILS),
      },
    };
  }
  private refusal(code: string, path: string, message: string): RefusedItem {
    return { error: { code, message: `${path}: ${message}`, details: [{ path, message }] } };
  }
}

const MAX_SHOWN = 64;
const shown = (name: string): string => (name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name);

/** The verdict on a line that was too long to be kept. */
export const tooLongItem = (index: number): RefusedItem => {
  const path = `items[${index}]`;
  const message = `is larger than ${MAX_ITEM_BYTES} bytes (a payload may have ${MAX_BODY_BYTES})`;
  return { error: { code: "payload_too_large", message: `${path}: ${message}`, details: [{ path, message }] } };
};
