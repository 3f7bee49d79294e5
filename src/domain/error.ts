/** The codes of contract section 1. Who must act: the caller for 4xx, the operator for 5xx. */
export const ERROR_STATUS = {
  bad_request: 400,
  authentication_required: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  precondition_failed: 412,
  payload_too_large: 413,
  unsupported_media_type: 415,
  validation_failed: 422,
  rate_limited: 429,
  internal_error: 500,
  unavailable: 503,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** One wrong field: `path` as in `items[3].payload`. */
export interface ErrorDetail {
  path: string;
  message: string;
}

/** An answer to the caller that is not a success. Operations throw it; http/error turns it into a response. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetail[];
  /** Sent as `Retry-After` when set. */
  readonly retryAfterSecs: number | null;
  /** Fields beside `error` in the body, such as `item_count` of a part that does not fit. */
  readonly extra: Record<string, unknown>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: ErrorDetail[]; retryAfterSecs?: number; extra?: Record<string, unknown> } = {},
  ) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.details = options.details ?? [];
    this.retryAfterSecs = options.retryAfterSecs ?? null;
    this.extra = options.extra ?? {};
  }

  get status(): number {
    return ERROR_STATUS[this.code];
  }
}

export const notFound = (what: string): ApiError => new ApiError("not_found", `${what} not found`);

export const invalid = (details: ErrorDetail[]): ApiError =>
  new ApiError("validation_failed", details[0] ? `${details[0].path}: ${details[0].message}` : "validation failed", {
    details,
  });

/** Ends a `switch` over a closed union: a new member is a compile error here. */
export function assertNever(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
