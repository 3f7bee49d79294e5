import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import { effectiveSettings, type ImportSpec } from "../domain/import.ts";
import { objectFilter } from "../domain/object-filter.ts";
import { transformFor } from "../domain/object-rows.ts";
import { type ObjectPlace, objectUrl, parseObjectUrl } from "../domain/object-url.ts";
import type { ListedObject } from "../domain/s3-xml.ts";
import type { ImportPorts } from "./ports.ts";
import { BEAT_MS, type ImportCoordinatorApi, type Listed, type TaskName, type Work } from "./protocol.ts";
import { type ObjectSource, SourceError } from "./source.ts";
import { withinSilence } from "./store-answer.ts";
import { packingOf } from "./unpack.ts";

/** Bytes that tell whether an object is plain NDJSON. */
const LEAD_BYTES = 4096;
/** One connection is left for the beat. */
const LOOKED_INTO_AT_ONCE = CONNECTIONS - 1;

/** Lists page by page; each is planned before the next is asked for, so that reading begins while listing goes on. */
export async function listObjects(
  work: Work & { kind: "list" },
  coordinator: ImportCoordinatorApi,
  ports: ImportPorts,
): Promise<void> {
  const { spec, name } = work;
  const stopBeating = keepBeating(name, coordinator);
  try {
    const lister = new Lister(spec, await ports.source(spec), ports);
    for (let after = work.after; ; ) {
      const page = await lister.page(after);
      const answer = await coordinator.listed(name, after, page.objects, page.next);
      if (answer.kind === "stop") return;
      after = page.next;
    }
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    await coordinator.listFailed(name, error.message);
  } finally {
    stopBeating();
  }
}

/** A store may keep a page waiting, and big objects are looked into: the lister lives all the same. */
function keepBeating(name: TaskName, coordinator: ImportCoordinatorApi): () => void {
  const timer = setInterval(() => {
    // The next one says it again.
    coordinator.beat(name).catch(() => undefined);
  }, BEAT_MS);
  return () => clearInterval(timer);
}

class Lister {
  private readonly spec: ImportSpec;
  private readonly source: ObjectSource;
  private readonly ports: ImportPorts;
  private readonly place: ObjectPlace;
  private readonly matches: (url: string) => boolean;

  constructor(spec: ImportSpec, source: ObjectSource, ports: ImportPorts) {
    this.spec = spec;
    this.source = source;
    this.ports = ports;
    const place = parseObjectUrl(spec.source.url);
    const filter = objectFilter(spec.regex_filter);
    // Both were judged when the import was made.
    if (typeof place === "string" || typeof filter === "string") throw new Error("the import's source is wrong");
    this.place = place;
    this.matches = filter;
  }

  async page(after: string | null): Promise<{ objects: Listed[]; next: string | null }> {
    const { objects, next } = await this.keys(after);
    const wanted = objects.filter(({ key }) => this.matches(objectUrl(this.place, key)));
    const known = this.spec.force ? wanted.map(() => false) : await this.ports.known(this.spec, wanted);
    const skips = wanted.map((object, i) => ({ ...object, skip: skipReason(object, known[i] === true) }));
    return { objects: await mapBounded(skips, LOOKED_INTO_AT_ONCE, (object) => this.lookedInto(object)), next };
  }

  private async lookedInto(object: ListedObject & { skip: string | null }): Promise<Listed> {
    return { ...object, isSplittable: object.skip === null && (await this.isSplittable(object)) };
  }

  private async keys(after: string | null): Promise<{ objects: ListedObject[]; next: string | null }> {
    const { kind, prefix, isObject } = this.place;
    if (isObject) {
      const object = await this.source.head(prefix);
      if (object === null) throw new SourceError("NoSuchKey", `there is no object ${objectUrl(this.place, prefix)}`);
      return { objects: [object], next: null };
    }
    if (kind === "r2" && after === null && prefix !== "" && !prefix.endsWith("/")) {
      // The whole key of an object means that object, not all that begin alike.
      const object = await this.source.head(prefix);
      if (object !== null) return { objects: [object], next: null };
    }
    return this.source.list(prefix, after);
  }

  /** Only big objects are looked into. */
  private async isSplittable({ key, etag, size }: ListedObject): Promise<boolean> {
    const { delivery, settings, transform_spec, on_error } = this.spec;
    if (delivery === "file" || on_error === "skip_file") return false;
    if (size <= effectiveSettings(settings).input_aggregation) return false;
    if (transformFor(transform_spec, key)?.type === "csv") return false;
    const first = await this.firstBytes(key, etag);
    const text = new TextDecoder().decode(first).trimStart();
    return packingOf(first) === "none" && !text.startsWith("[") && text.startsWith("{");
  }

  /** Nothing where it cannot be opened: reading it will say why. */
  private async firstBytes(key: string, etag: string): Promise<Uint8Array> {
    try {
      const reader = (await this.source.open(key, etag, 0)).getReader();
      const { value } = await withinSilence(reader.read());
      await reader.cancel();
      return value?.subarray(0, LEAD_BYTES) ?? new Uint8Array(0);
    } catch {
      return new Uint8Array(0);
    }
  }
}

function skipReason({ key, size }: ListedObject, isKnown: boolean): string | null {
  if (key.endsWith("/") && size === 0) return "is the marker of a directory";
  return isKnown ? "was imported before" : null;
}
