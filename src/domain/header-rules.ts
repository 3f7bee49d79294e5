/** Which extra headers a job may send (contract 2). Names are compared without case. */

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

const HOP_BY_HOP = new Set([
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"],
  ...["transfer-encoding", "upgrade"],
]);

/** Headers of the call itself, see contract 4.7 and 6. */
const OURS = new Set([
  ...["content-type", "content-length", "x-run-id", "x-job-id", "x-job-slug", "x-job-version", "x-batch-id"],
  ...["x-batch-index", "x-attempt", "idempotency-key", "traceparent", "tracestate", "webhook-id"],
  ...["webhook-timestamp", "webhook-signature", "x-webhook-signature"],
]);

/** What is wrong with a header's name, or null. */
export function headerProblem(name: string): string | null {
  const lower = name.toLowerCase();
  if (!TOKEN.test(name) || lower === "__proto__") return "is not a header name";
  if (HOP_BY_HOP.has(lower)) return "is a hop-by-hop header";
  if (lower === "host" || lower.startsWith("cf-")) return "belongs to the platform";
  if (OURS.has(lower) || lower.startsWith("x-strait-")) return "is set by the service";
  return null;
}
