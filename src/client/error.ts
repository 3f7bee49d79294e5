/** A bad field: `path` as in `items[3].payload`. */
export interface ErrorDetail {
  path: string;
  message: string;
}

/** Sluice said no. `status` is HTTP's, `code` and `details` are those of the error body (contract 1). */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  readonly status: number;
  readonly code: string;
  readonly details: readonly ErrorDetail[];
  readonly requestId: string | null;
  /** From `Retry-After`. */
  readonly retryAfterMs: number | null;
  /** What the error body says beside the error, such as `item_count` of a batch. */
  readonly body: Readonly<Record<string, unknown>>;

  constructor(response: Response, text: string, now: number) {
    const body = parsed(text);
    const error = asObject(body.error);
    super(typeof error.message === "string" ? error.message : `HTTP ${response.status}`);
    this.status = response.status;
    this.code = typeof error.code === "string" ? error.code : "unknown";
    this.details = Array.isArray(error.details) ? (error.details as ErrorDetail[]) : [];
    this.requestId = response.headers.get("X-Request-Id");
    this.retryAfterMs = retryAfter(response.headers.get("Retry-After"), now);
    this.body = body;
  }
}

/** Sluice could not be reached, or did not answer in time. Whether it acted is not known. */
export class SluiceUnreachable extends Error {
  override readonly name = "SluiceUnreachable";
}

const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};

/** A proxy's error page is no JSON. */
function parsed(text: string): Record<string, unknown> {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return {};
  }
}

/** `Retry-After` in seconds or as a date, as milliseconds from `now`. */
function retryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
