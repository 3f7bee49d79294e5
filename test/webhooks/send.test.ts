import { describe, expect, inject, test } from "vitest";
import { send } from "../../src/webhooks/send.ts";

const zoo = inject("endpointUrl");
/** Long enough for every answer that comes, short enough for those that do not. */
const PATIENCE_MS = 1_500;

const letter = (path: string) => ({
  url: `${zoo}${path}`,
  headers: { "Content-Type": "application/json", "webhook-id": crypto.randomUUID() },
  body: '{"type":"run.completed"}',
});
const sent = (path: string) => send(letter(path), PATIENCE_MS);

interface Logged {
  path: string;
  method: string;
  body: string;
}
const logged = async (path: string): Promise<Logged[]> => {
  const log = (await (await fetch(`${zoo}/__log`)).json()) as Logged[];
  return log.filter((call) => call.path === path);
};

describe("a receiver that", () => {
  test.each([
    ["/ok", 200, '{"ok":true}'],
    ["/empty", 204, ""],
    ["/status/410", 410, "status 410"],
    ["/status/500?body=no", 500, "no"],
  ])("answers (%s) is heard", async (path, http_status, excerpt) => {
    expect(await sent(path)).toEqual({ kind: "answered", http_status, retry_after_ms: null, excerpt });
  });

  test("redirects is not followed", async () => {
    const target = `/ok?redirected=${crypto.randomUUID()}`;
    const outcome = await sent(`/redirect?status=307&to=${encodeURIComponent(target)}`);
    expect(outcome).toMatchObject({ kind: "answered", http_status: 307 });
    expect(await logged(target)).toEqual([]);
  });

  test.each([
    ["in seconds", "/retry-after?secs=7&status=503", 7_000, 7_000],
    ["as a date", "/retry-after?secs=600&date=1", 500_000, 600_000],
  ])("asks for time, %s, is told apart", async (_how, path, least, most) => {
    const outcome = await sent(path);
    if (outcome.kind !== "answered") throw new Error(outcome.message);
    expect(outcome.retry_after_ms).toBeGreaterThanOrEqual(least);
    expect(outcome.retry_after_ms).toBeLessThanOrEqual(most);
  });

  test("stalls is hung up on", async () => {
    expect(await sent("/hang")).toEqual({ kind: "failed", message: "no answer within 1.5 s" });
  });

  test("stalls behind its headers has answered", async () => {
    expect(await sent("/hang?after=headers&status=200")).toMatchObject({ kind: "answered", http_status: 200 });
    expect(await sent("/hang?after=headers&status=503")).toMatchObject({ kind: "answered", http_status: 503 });
  });

  test.each(["/big?bytes=20000000&chunked=1", "/big?bytes=20000000", "/gzip?bytes=50000000"])(
    "floods us (%s) is read no further than we show",
    async (path) => {
      const outcome = await sent(path);
      expect(outcome).toMatchObject({ kind: "answered", http_status: 200 });
      if (outcome.kind === "answered") expect(outcome.excerpt.length).toBeLessThanOrEqual(200);
    },
  );

  test("breaks off in its body has answered", async () => {
    expect(await sent("/cut")).toMatchObject({ kind: "answered", http_status: 200 });
  });

  test("speaks no HTTP, or does not listen, is not reached", async () => {
    expect(await sent("/reset")).toMatchObject({ kind: "failed" });
    const silent = await send({ ...letter("/"), url: "http://127.0.0.1:1/" }, PATIENCE_MS);
    expect(silent).toMatchObject({ kind: "failed" });
    if (silent.kind === "failed") expect(silent.message).not.toContain("internal");
  });
});
