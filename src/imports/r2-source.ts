import type { ListedObject, ObjectPage } from "../domain/s3-xml.ts";
import { changedObject, type ObjectSource, SourceError } from "./source.ts";

const PAGE_KEYS = 1000;

/** A bound R2 bucket. */
export class R2Source implements ObjectSource {
  private readonly bucket: R2Bucket;

  constructor(bucket: R2Bucket) {
    this.bucket = bucket;
  }

  async list(prefix: string, after: string | null): Promise<ObjectPage> {
    const page = await said(() =>
      this.bucket.list({ prefix, limit: PAGE_KEYS, ...(after === null ? {} : { startAfter: after }) }),
    );
    const objects = page.objects.map(({ key, etag, size }) => ({ key, etag, size }));
    const last = objects[objects.length - 1];
    return { objects, next: page.truncated && last ? last.key : null };
  }

  async head(key: string): Promise<ListedObject | null> {
    const object = await said(() => this.bucket.head(key));
    return object && { key, etag: object.etag, size: object.size };
  }

  async open(key: string, etag: string, from: number): Promise<ReadableStream<Uint8Array>> {
    const object = await said(() =>
      this.bucket.get(key, { onlyIf: { etagMatches: etag }, ...(from > 0 ? { range: { offset: from } } : {}) }),
    );
    if (object === null) throw new SourceError("NoSuchKey", `${key} is not there any more`);
    if (!("body" in object)) throw changedObject(key);
    return object.body;
  }
}

async function said<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw new SourceError("R2Failed", (error as Error).message, true);
  }
}
