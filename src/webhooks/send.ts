import { readTextAtMost } from "../domain/bounded-text.ts";
import { parseRetryAfter } from "../domain/retry-after.ts";
import type { SendOutcome } from "../domain/webhook.ts";

/** One webhook, ready to be sent. The address has been checked. */
export interface Letter {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Until the answer's headers are there… */
export const SEND_TIMEOUT_MS = 15_000;
/** …and from then on. */
const BODY_TIMEOUT_MS = 2_000;
/** Of an answer's body: what is read at all, and what of it is shown. */
const READ_BYTES = 16 * 1024;
const SHOWN_CHARS = 200;

/**
 * Sends a webhook: the only place that does. Redirects are not followed. An answer's status stands once it is there, whatever
 * its body does; of the body the beginning is read, the rest given up.
 */
export async function send(letter: Letter, timeoutMs = SEND_TIMEOUT_MS): Promise<SendOutcome> {
  const controller = new AbortController();
  let hangUp: (outcome: SendOutcome) => void = () => undefined;
  const patience = new Promise<SendOutcome>((resolve) => {
    hangUp = (outcome) => {
      resolve(outcome);
      controller.abort();
    };
  });
  const late: SendOutcome = { kind: "failed", message: `no answer within ${timeoutMs / 1000} s` };
  let timer = setTimeout(() => hangUp(late), timeoutMs);
  const conversation = async (): Promise<SendOutcome> => {
    const response = await fetch(letter.url, {
      method: "POST",
      headers: letter.headers,
      body: letter.body,
      redirect: "manual",
      signal: controller.signal,
    });
    const { status: http_status, headers } = response;
    const retry_after_ms = parseRetryAfter(headers.get("retry-after"), Date.now());
    const answered = { kind: "answered", http_status, retry_after_ms } as const;
    clearTimeout(timer);
    timer = setTimeout(() => hangUp({ ...answered, excerpt: "" }), Math.min(BODY_TIMEOUT_MS, timeoutMs));
    return { ...answered, excerpt: await beginningOf(response) };
  };
  try {
    return await Promise.race([conversation().catch(notReached), patience]);
  } finally {
    clearTimeout(timer);
  }
}

/** A body that breaks off is as good as none. */
async function beginningOf(response: Response): Promise<string> {
  if (response.body === null) return "";
  try {
    return (await readTextAtMost(response.body, READ_BYTES)).text.slice(0, SHOWN_CHARS).toWellFormed();
  } catch {
    return "";
  }
}

/** The runtime names a refused, reset or broken connection in several ways, and a name that does not resolve in none. */
function notReached(error: unknown): SendOutcome {
  const message = error instanceof Error ? error.message : String(error);
  return {
    kind: "failed",
    message: message.startsWith("internal error")
      ? "the receiver could not be reached, or did not answer in HTTP"
      : message.slice(0, SHOWN_CHARS),
  };
}
