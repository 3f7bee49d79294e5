import { AwsClient } from "aws4fetch";
import { type ListedObject, type ObjectPage, parseListing, parseStoreError } from "../domain/s3-xml.ts";
import { beginningOf } from "./store-answer.ts";

/** Where an import's objects come from: a bucket over S3's protocol, or a bound R2 bucket. */
export interface ObjectSource {
  /** A page of at most 1,000 objects whose keys begin with `prefix`, in key order, behind `after`. */
  list(prefix: string, after: string | null): Promise<ObjectPage>;
  /** Null where there is no such object. */
  head(key: string): Promise<ListedObject | null>;
  /** Bytes from `from` to the end, of the object as `etag` names it. */
  open(key: string, etag: string, from: number): Promise<ReadableStream<Uint8Array>>;
}

/** The store refuses, or cannot be reached. `code` is its own word. The message holds no credentials. */
export class SourceError extends Error {
  readonly code: string;
  /** It may go better a little later. */
  readonly isPassing: boolean;

  constructor(code: string, message: string, isPassing = false) {
    super(`${code}: ${message}`);
    this.name = "SourceError";
    this.code = code;
    this.isPassing = isPassing;
  }
}

export const changedObject = (key: string): SourceError =>
  new SourceError("PreconditionFailed", `${key} has changed since it was listed`);

export interface S3Keys {
  access_key_id: string;
  secret_access_key: string;
}

export interface S3Place {
  endpoint: string;
  region: string;
  bucket: string;
  /** Null: requests are not signed, as for a public bucket. */
  keys: S3Keys | null;
}

const PAGE_KEYS = 1000;
/** Tries of one request. */
const TRIES = 6;
const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 10_000;
const MAX_ERROR_BYTES = 64 * 1024;
/** A page has at most 1,000 keys of 1 KiB, with some elements beside each. */
const MAX_LISTING_BYTES = 16 * 1024 * 1024;

/** How a store is waited for. */
export interface Patience {
  pause(ms: number): Promise<void>;
  /** A store that has not begun to answer by then is asked again… */
  headersMs: number;
  /** …but not once so long has passed. */
  requestMs: number;
}

const PATIENCE: Patience = {
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  headersMs: 30_000,
  requestMs: 45_000,
};
const PASSING_CODES = ["SlowDown", "InternalError", "RequestTimeout", "ServiceUnavailable", "RequestTimeTooSkewed"];

/** A bucket over S3's protocol, path style. */
export class S3Source implements ObjectSource {
  private readonly place: S3Place;
  private readonly client: AwsClient | null;
  private readonly patience: Patience;

  constructor(place: S3Place, patience: Patience = PATIENCE) {
    this.place = place;
    this.patience = patience;
    const { keys, region } = place;
    this.client =
      keys === null
        ? null
        : new AwsClient({
            accessKeyId: keys.access_key_id,
            secretAccessKey: keys.secret_access_key,
            service: "s3",
            region,
            retries: 0,
          });
  }

  async list(prefix: string, after: string | null): Promise<ObjectPage> {
    const query = new URLSearchParams({ "list-type": "2", "encoding-type": "url", "max-keys": String(PAGE_KEYS) });
    if (prefix !== "") query.set("prefix", prefix);
    if (after !== null) query.set("start-after", after);
    // A space is %20 in what is signed.
    const url = `${this.bucketUrl()}?${query.toString().replaceAll("+", "%20")}`;
    const whole = (response: Response) => beginningOf(response, MAX_LISTING_BYTES);
    const answer = await this.request("GET", url, {}, `s3://${this.place.bucket}`, whole);
    const page = answer.isWhole ? parseListing(answer.text) : null;
    if (page === null) throw new SourceError("UnreadableListing", "the store's answer is no listing of a bucket");
    return page;
  }

  async head(key: string): Promise<ListedObject | null> {
    try {
      const response = await this.request("HEAD", this.objectUrl(key), {}, key, asItComes);
      const size = Number(response.headers.get("Content-Length"));
      return { key, etag: (response.headers.get("ETag") ?? "").replaceAll('"', ""), size };
    } catch (error) {
      if (error instanceof SourceError && (error.code === "NoSuchKey" || error.code === "NotFound")) return null;
      throw error;
    }
  }

  async open(key: string, etag: string, from: number): Promise<ReadableStream<Uint8Array>> {
    const headers: Record<string, string> = {};
    if (etag !== "") headers["If-Match"] = `"${etag}"`;
    if (from > 0) headers.Range = `bytes=${from}-`;
    const response = await this.asStored(key, headers);
    if (from > 0 && response.status !== 206) {
      await response.body?.cancel();
      throw new SourceError("NoRange", "the store does not serve a part of an object");
    }
    return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
  }

  /** An object that is stored with a Content-Encoding would be unpacked on the way, and its bytes could not be counted. */
  private async asStored(key: string, headers: Record<string, string>): Promise<Response> {
    const url = this.objectUrl(key);
    const response = await this.request("GET", url, headers, key, asItComes);
    if (!isEncoded(response)) return response;
    await response.body?.cancel();
    const asIs = `${url}?response-content-encoding=identity`;
    const plain = this.client && (await this.request("GET", asIs, headers, key, asItComes));
    if (plain !== null && !isEncoded(plain)) return plain;
    await plain?.body?.cancel();
    const encoding = response.headers.get("Content-Encoding");
    throw new SourceError(
      "EncodedObject",
      `${key} is stored with Content-Encoding ${encoding}, and not served without`,
    );
  }

  private bucketUrl(): string {
    return `${this.place.endpoint.replace(/\/+$/, "")}/${this.place.bucket}`;
  }

  private objectUrl(key: string): string {
    if (key.split("/").some((name) => name === "." || name === "..")) {
      throw new SourceError("UnreachableKey", "a key with . or .. between slashes cannot be asked for by its URL");
    }
    return `${this.bucketUrl()}/${key.split("/").map(encoded).join("/")}`;
  }

  /**
   * @param take of the answer what is needed; asked for again where it breaks off.
   * @throws SourceError as the store says, after some tries where it may pass.
   */
  private async request<T>(
    method: string,
    url: string,
    headers: Record<string, string>,
    what: string,
    take: (response: Response) => Promise<T>,
  ): Promise<T> {
    const { pause, requestMs } = this.patience;
    const began = Date.now();
    for (let attempt = 1; ; attempt++) {
      const answer = await this.once(method, url, headers, what, take);
      if ("taken" in answer) return answer.taken;
      const isEnough = attempt === TRIES || Date.now() - began >= requestMs;
      if (!answer.error.isPassing || isEnough) throw answer.error;
      await pause(Math.max(answer.floorMs, delayMs(attempt, Math.random())));
    }
  }

  private async once<T>(
    method: string,
    url: string,
    headers: Record<string, string>,
    what: string,
    take: (response: Response) => Promise<T>,
  ): Promise<{ taken: T } | { error: SourceError; floorMs: number }> {
    try {
      const response = await this.headersOf(url, { method, headers, redirect: "manual" });
      if (response.ok) return { taken: await take(response) };
      const isConditional = "If-Match" in headers;
      return { error: await refusalOf(response, method, what, isConditional), floorMs: retryAfterMs(response) };
    } catch (error) {
      return { error: new SourceError("ConnectionFailed", `the store ${(error as Error).message}`, true), floorMs: 0 };
    }
  }

  /** @throws Error saying what the store does not do. */
  private async headersOf(url: string, init: RequestInit): Promise<Response> {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), this.patience.headersMs);
    try {
      const plain = new Request(url, { ...init, signal: patience.signal });
      const signed = this.client === null ? plain : await this.client.sign(plain);
      // Not among what is signed: a proxy may change it.
      signed.headers.set("Accept-Encoding", "identity");
      // A request that was made of another one does not always hear of its signal.
      return await Promise.race([fetch(signed), abortOf(patience.signal)]);
    } catch (error) {
      throw new Error(patience.signal.aborted ? "does not answer" : `cannot be reached: ${(error as Error).message}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

const asItComes = async (response: Response): Promise<Response> => response;

async function refusalOf(
  response: Response,
  method: string,
  what: string,
  isConditional: boolean,
): Promise<SourceError> {
  const { status } = response;
  const said = method === "HEAD" ? null : parseStoreError((await beginningOf(response, MAX_ERROR_BYTES)).text);
  // A store may say 412 of other things, such as an unsigned request.
  if (status === 412 && isConditional) return changedObject(what);
  const code = said?.code ?? CODES[status] ?? `HTTP${status}`;
  const isPassing = status === 429 || status >= 500 || PASSING_CODES.includes(code);
  return new SourceError(code, said?.message || `the store answers ${status} for ${what}`, isPassing);
}

/** For answers without a body. */
const CODES: Record<number, string> = {
  301: "PermanentRedirect",
  403: "AccessDenied",
  404: "NotFound",
  503: "SlowDown",
};

function retryAfterMs(response: Response): number {
  const secs = Number(response.headers.get("Retry-After") ?? "0");
  return Number.isFinite(secs) ? Math.min(Math.max(0, secs * 1000), MAX_DELAY_MS) : 0;
}

/** Doubling from `FIRST_DELAY_MS`, by up to a half more or less. */
const delayMs = (attempt: number, dice: number): number =>
  Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), MAX_DELAY_MS) * (0.5 + dice);

const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

const isEncoded = (response: Response): boolean =>
  !["", "identity", "aws-chunked"].includes((response.headers.get("Content-Encoding") ?? "").trim().toLowerCase());

const abortOf = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
