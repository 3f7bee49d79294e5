import { describe, expect, inject, test } from "vitest";
import { beginCall, type PreparedCall } from "../../src/delivery/call.ts";
import { Deadlines } from "../../src/delivery/deadlines.ts";
import { MAX_RESULT_BYTES, resultOf } from "../../src/delivery/response-body.ts";
import type { CallOutcome } from "../../src/domain/call.ts";
import { MAX_BODY_BYTES } from "../../src/domain/run.ts";

const zoo = inject("endpointUrl");
const utf8 = new TextEncoder();

const prepared = (path: string, over: Partial<PreparedCall> = {}): PreparedCall => ({
  url: path.startsWith("http") ? path : zoo + path,
  service: null,
  method: "POST",
  headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
  body: "{}",
  timeout_ms: 10_000,
  success: {},
  ...over,
});

/** One for all calls of the file, as one serves all calls of an invocation. */
const deadlines = new Deadlines();

const call = (path: string, over: Partial<PreparedCall> = {}): Promise<CallOutcome> =>
  beginCall(prepared(path, over), deadlines).outcome;

type Answered = Extract<CallOutcome, { kind: "response" }>;

async function answered(path: string, over: Partial<PreparedCall> = {}): Promise<Answered> {
  const outcome = await call(path, over);
  if (outcome.kind !== "response") throw new Error(`expected a response, got ${JSON.stringify(outcome)}`);
  return outcome;
}

const ok = (result: string | null): Answered => ({
  kind: "response",
  http_status: 200,
  result,
  truncated: false,
  retry_after_ms: null,
});

interface Logged {
  path: string;
  method: string;
  body: string;
  headers: Record<string, string>;
  ended_at: number | null;
}

const logged = async (mark: string): Promise<Logged[]> => {
  const log = await (await fetch(`${zoo}/__log`)).json<Logged[]>();
  return log.filter((c) => c.path.includes(mark));
};

describe("what an endpoint gets", () => {
  test("the payload byte for byte, by the job's method, with the headers as they are", async () => {
    const body = '{ "n": 12345678901234567890, "text": "\\u0000 héllo 🎉", "n":1 }\n';
    const headers = {
      "Content-Type": "application/json",
      "X-Run-Id": "r",
      traceparent: "t",
      Authorization: "Bearer x",
    };
    expect(await answered("/echo?mark=bytes", { body, headers, method: "PATCH" })).toEqual(ok(body));
    const [seen] = await logged("mark=bytes");
    expect(seen).toMatchObject({ method: "PATCH", body });
    expect(seen?.headers).toMatchObject({
      "content-type": "application/json",
      "content-length": String(utf8.encode(body).length),
      "x-run-id": "r",
      traceparent: "t",
      authorization: "Bearer x",
    });
  });

  test("a payload of 1 MiB", async () => {
    const body = `"${"é".repeat(MAX_BODY_BYTES / 2 - 1)}"`;
    const outcome = await answered("/echo", { body });
    expect(outcome.truncated).toBe(false);
    expect(outcome.result === body).toBe(true);
  });
});

describe("what becomes of an answer", () => {
  test.each<[string, string | null]>([
    ["/ok", '{"ok":true}'],
    ["/json-int20", '{"n":12345678901234567890}'],
    ["/html", JSON.stringify('<!doctype html>\n<title>Hi</title>\n<p>"fine"</p>\n')],
    ["/latin1", '"caf\ufffd!"'],
    ["/nul", '"a\\u0000b"'],
    ["/gzip?bytes=5", '"zzzzz"'],
    ["/flaky?fail=0", '{"ok":true}'],
    ["/slow?ms=50", '{"ok":true}'],
  ])("%s: the result is %o", async (path, result) => {
    expect(await call(path)).toEqual(ok(result));
  });

  test("204 has no result", async () => {
    expect(await call("/empty")).toEqual({ ...ok(null), http_status: 204 });
  });

  test.each([301, 302, 303, 307, 308])("a %d is not followed", async (status) => {
    const mark = crypto.randomUUID();
    const outcome = await answered(`/redirect?status=${status}&to=/ok?mark=${mark}`);
    expect(outcome).toMatchObject({ http_status: status, result: null });
    expect((await logged(mark)).map((c) => c.path.split("?")[0])).toEqual(["/redirect"]);
  });

  test("a refusal brings the beginning of its body, and no result", async () => {
    expect(await call("/status/404?body=no%20such%20thing")).toEqual({
      ...ok(null),
      http_status: 404,
      excerpt: "no such thing",
    });
    const long = await answered(`/status/500?body=${"x".repeat(5_000)}`);
    expect(long.excerpt).toBe("x".repeat(1024));
  });

  test("whose body is a result is the job's to say", async () => {
    const success = { success_statuses: ["2xx", 409] };
    expect(await call('/status/409?body={"known":1}', { success })).toEqual({ ...ok('{"known":1}'), http_status: 409 });
    expect(await answered("/ok", { success: { success_statuses: [201] } })).toMatchObject({ result: null });
  });

  test("Retry-After as seconds and as a date", async () => {
    expect(await answered("/retry-after?secs=7")).toMatchObject({ http_status: 429, retry_after_ms: 7_000 });
    const dated = await answered("/retry-after?secs=3600&date=1&status=503");
    expect(dated.retry_after_ms).toBeGreaterThan(3_500_000);
    expect(dated.retry_after_ms).toBeLessThanOrEqual(3_600_000);
  });
});

describe("an answer without end", () => {
  test.each([
    ["with its length", ""],
    ["in chunks", "&chunked=1"],
    ["as JSON", "&type=json"],
  ])("10 MiB %s: the first MiB, as a JSON string", async (_how, query) => {
    const outcome = await answered(`/big?bytes=${10 * 1024 * 1024}${query}`);
    expect(outcome.truncated).toBe(true);
    const text = JSON.parse(outcome.result ?? "") as string;
    expect(text.length).toBe(MAX_BODY_BYTES);
    expect(text.slice(-3)).toMatch(/^[a-z]{3}$/);
  });

  test.each(["", "&chunked=1"])("exactly 1 MiB of JSON is the result, one byte more is cut (%s)", async (query) => {
    const whole = await answered(`/big?type=json&bytes=${MAX_BODY_BYTES}${query}`);
    expect([whole.truncated, whole.result?.length]).toEqual([false, MAX_BODY_BYTES]);
    const more = await answered(`/big?type=json&bytes=${MAX_BODY_BYTES + 1}${query}`);
    expect([more.truncated, (JSON.parse(more.result ?? "") as string).length]).toEqual([true, MAX_BODY_BYTES]);
  });

  test("a compressed flood is cut where it has grown to 1 MiB", async () => {
    const outcome = await answered(`/gzip?bytes=${64 * 1024 * 1024}`);
    expect(outcome.truncated).toBe(true);
    expect((JSON.parse(outcome.result ?? "") as string).length).toBe(MAX_BODY_BYTES);
  });

  test("a result is never longer than a parameter of the ledger, whatever its escapes make of it", () => {
    for (const text of ["\u0000".repeat(MAX_BODY_BYTES), "\ufffd".repeat(MAX_BODY_BYTES), "🎉\n".repeat(300_000)]) {
      const { result, truncated } = resultOf(text, false);
      expect(truncated).toBe(true);
      const size = utf8.encode(result ?? "").length;
      expect(size).toBeLessThanOrEqual(MAX_RESULT_BYTES);
      expect(size).toBeGreaterThan(MAX_RESULT_BYTES - 16);
      expect(text.startsWith(JSON.parse(result ?? "") as string)).toBe(true);
    }
  });

  test("a character that the cut would halve is left out", async () => {
    const body = `"${"🎉".repeat(300_000)}"`;
    const outcome = await answered("/echo", { body });
    expect(outcome.truncated).toBe(true);
    const text = JSON.parse(outcome.result ?? "") as string;
    expect(body.startsWith(text)).toBe(true);
    expect(MAX_BODY_BYTES - utf8.encode(text).length).toBeLessThan(4);
  });
});

describe("an answer that never comes whole", () => {
  test.each(["/broken-chunks", "/cut", "/reset"])("%s is a connection failure", async (path) => {
    const outcome = await call(path);
    expect(outcome.kind).toBe("connection");
    expect(outcome.kind === "connection" && outcome.message.length).toBeGreaterThan(0);
  });

  test("nobody listens: a connection failure", async () => {
    expect((await call("http://127.0.0.1:1/")).kind).toBe("connection");
  });

  test("a name that does not resolve: a connection failure, in words", async () => {
    const outcome = await call("http://no-such-host.invalid/");
    expect(outcome).toMatchObject({ kind: "connection" });
    expect(outcome.kind === "connection" && outcome.message).not.toContain("reference");
  });

  test.each(["/hang", "/hang?after=headers", "/hang?after=headers&status=500", "/slow?ms=60000"])(
    "%s: a timeout, and the endpoint sees us hang up",
    async (path) => {
      const mark = crypto.randomUUID();
      const target = `${path}${path.includes("?") ? "&" : "?"}mark=${mark}`;
      expect(await call(target, { timeout_ms: 200 })).toEqual({ kind: "timeout" });
      await expect.poll(async () => (await logged(mark))[0]?.ended_at).toEqual(expect.any(Number));
    },
  );

  test.each(["/hang", "/hang?after=headers"])(
    "%s, canceled: aborted, and the endpoint sees us hang up",
    async (path) => {
      const mark = crypto.randomUUID();
      const target = `${path}${path.includes("?") ? "&" : "?"}mark=${mark}`;
      const flight = beginCall(prepared(target), deadlines);
      await expect.poll(async () => (await logged(mark)).length).toBe(1);
      flight.abort();
      expect(await flight.outcome).toEqual({ kind: "aborted" });
      await expect.poll(async () => (await logged(mark))[0]?.ended_at).toEqual(expect.any(Number));
    },
  );

  test("canceled before it left, and after it ended", async () => {
    const early = beginCall(prepared("/ok"), deadlines);
    early.abort();
    expect(await early.outcome).toEqual({ kind: "aborted" });
    const late = beginCall(prepared("/ok"), deadlines);
    expect(await late.outcome).toEqual(ok('{"ok":true}'));
    late.abort();
    expect(await late.outcome).toEqual(ok('{"ok":true}'));
  });

  test("of calls with different deadlines each is hung up at its own, and the rest go on", async () => {
    const deadlines = new Deadlines();
    const ended: number[] = [];
    const begin = (timeout_ms: number, path: string): Promise<void> =>
      beginCall(prepared(path, { timeout_ms }), deadlines).outcome.then((outcome) => {
        expect(outcome.kind).toBe(path === "/hang" ? "timeout" : "response");
        ended.push(timeout_ms);
      });
    await Promise.all([begin(400, "/hang"), begin(100, "/hang"), begin(10_000, "/slow?ms=600"), begin(250, "/hang")]);
    expect(ended).toEqual([100, 250, 400, 10_000]);
  });

  test("a header that cannot be sent fails the call, not the consumer", async () => {
    expect((await call("/ok", { headers: { "X-Bad": "a\r\nb" } })).kind).toBe("connection");
  });
});
