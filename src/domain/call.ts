/**
 * How one call to an endpoint ended, as the consumer saw it. Everything in it is text as received, so that every byte and
 * every digit of an answer survives.
 */
export type CallOutcome =
  | {
      kind: "response";
      http_status: number;
      /** Raw JSON where the body was JSON, else a JSON string; null for an empty body and for a status that is no success. */
      result: string | null;
      truncated: boolean;
      /** From `Retry-After`, floored at 0, at most 24 h. */
      retry_after_ms: number | null;
      /** The beginning of the body of an answer that is no success, at most `MAX_EXCERPT_BYTES`; for the error message. */
      excerpt?: string;
    }
  | { kind: "timeout" }
  | { kind: "connection"; message: string }
  /** The address is not allowed. */
  | { kind: "blocked"; message: string }
  /** Aborted because the run was canceled. */
  | { kind: "aborted" }
  /**
   * Not begun: `start_by` passed, the configuration could not be read, or the consumer is leaving. At no attempt.
   * `delay_ms` asks for a pause before the run is granted again (absent: none).
   */
  | { kind: "given_back"; reason: string; delay_ms?: number };

/** How much of a refusing answer's body goes into the error message, in UTF-8 bytes. */
export const MAX_EXCERPT_BYTES = 1024;
