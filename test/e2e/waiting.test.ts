import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Sluice, startSluice, until } from "./harness.ts";
import { type RecordingEndpoint, startRecording } from "./recording-endpoint.ts";

/** What waits says why, and from when on it can go: the run, the job's health, and the rehearsal of a trigger. */

let endpoint: RecordingEndpoint;
let sluice: Sluice;

beforeAll(async () => {
  [endpoint, sluice] = await Promise.all([startRecording(), startSluice()]);
});

afterAll(async () => {
  await sluice.signalGroup("SIGINT");
  await endpoint.stop();
});

interface Explained {
  status: string;
  waiting_for: string | null;
  earliest_start_at: string | null;
  next_attempt_at: string | null;
  started_at: string | null;
}

interface Health {
  waiting: number;
  waiting_for: Record<string, number>;
  concurrency_now: number;
  concurrency_limit: number;
  earliest_start_at: string | null;
}

const MINUTE = 60_000;
const HANG = "?hang=1";

const newJob = (slug: string, fields: Record<string, unknown>, query = "") =>
  sluice.api.post("/v1/jobs", {
    ...{ name: slug, slug, endpoint_url: `${endpoint.url}/${slug}${query}` },
    ...{ max_attempts: 5, timeout_secs: 60, retry_strategy: "fixed", retry_base_secs: 600, retry_jitter: 0, ...fields },
  });

const trigger = async (slug: string, item: unknown = {}): Promise<string> =>
  (await sluice.api.post<{ id: string }>(`/v1/jobs/${slug}/trigger`, item)).id;

const rehearse = (slug: string, item: Record<string, unknown> = {}) =>
  sluice.api.post<Explained>(`/v1/jobs/${slug}/trigger`, { ...item, dry_run: true });

const read = (id: string) => sluice.api.get<Explained>(`/v1/runs/${id}`);
const health = (slug: string) => sluice.api.get<Health>(`/v1/jobs/${slug}/health`);
const called = (slug: string, times = 1) => until(async () => (await endpoint.count(slug)).of_job >= times);
const reported = (id: string, status: string) => until(async () => (await read(id)).status === status);
const at = (text: string | null): number => (text === null ? Number.NaN : Date.parse(text));

/** The waiting run, the rehearsal of another and the health give one reason; the earliest start lies between the bounds. */
async function expectReason(
  slug: string,
  id: string,
  reason: string,
  item: Record<string, unknown>,
  from?: number,
  to?: number,
) {
  const answers = [await read(id), await rehearse(slug, item)];
  for (const answer of answers) expect(answer.waiting_for).toBe(reason);
  const counted = await health(slug);
  expect(counted.waiting_for[reason]).toBe(1);
  if (to === undefined) expect(counted.earliest_start_at).toBeNull();
  // The first of all that wait; which windows will be full once the delayed are due, it does not ask.
  else expect(at(counted.earliest_start_at)).toBeLessThanOrEqual(to);
  for (const answer of answers) {
    if (from === undefined || to === undefined) expect(answer.earliest_start_at).toBeNull();
    else {
      expect(at(answer.earliest_start_at)).toBeGreaterThanOrEqual(from);
      expect(at(answer.earliest_start_at)).toBeLessThanOrEqual(to);
    }
  }
}

describe("a run that waits says why and until when", () => {
  test("concurrency", async () => {
    await newJob("full", { max_concurrency: 1 }, HANG);
    await trigger("full");
    await called("full");
    const second = await trigger("full");
    await expectReason("full", second, "concurrency", {});
    expect(await health("full")).toMatchObject({ concurrency_now: 1, concurrency_limit: 1, waiting: 1 });
    await endpoint.release("full");
    await reported(second, "executing");
    expect(await read(second)).toMatchObject({ waiting_for: null, earliest_start_at: null });
    await endpoint.release("full");
  });

  test("key: another key's run goes", async () => {
    await newJob("keyed", { max_concurrency_per_key: 1 }, HANG);
    await trigger("keyed", { concurrency_key: "a" });
    await called("keyed");
    const second = await trigger("keyed", { concurrency_key: "a" });
    await expectReason("keyed", second, "key", { concurrency_key: "a" });
    expect((await rehearse("keyed", { concurrency_key: "b" })).waiting_for).toBeNull();
    await trigger("keyed", { concurrency_key: "b" });
    await called("keyed", 2);
    await endpoint.release("keyed");
  });

  test("rate_limit", async () => {
    await newJob("rated", { rate_limit_max: 1, rate_limit_window_secs: 60 });
    const first = await trigger("rated");
    await reported(first, "completed");
    const started = at((await read(first)).started_at);
    const second = await trigger("rated");
    await expectReason("rated", second, "rate_limit", {}, started + MINUTE, started + MINUTE + 1_000);
  });

  test("rate_limit:<name>, for the partition it draws from", async () => {
    await newJob("named", { rate_limit_keys: [{ name: "vendor", max: 1, window_secs: 60 }] });
    const item = { rate_limit_keys: ["vendor:eu"] };
    const first = await trigger("named", item);
    await reported(first, "completed");
    const started = at((await read(first)).started_at);
    const second = await trigger("named", item);
    await expectReason("named", second, "rate_limit:vendor", item, started + MINUTE, started + MINUTE + 1_000);
    expect((await rehearse("named", { rate_limit_keys: ["vendor:us"] })).waiting_for).toBeNull();
    expect((await rehearse("named")).waiting_for).toBeNull();
  });

  test("window: until it opens, to the minute", async () => {
    const opens = new Date(Date.now() + 5 * 60 * MINUTE);
    opens.setUTCMinutes(0, 0, 0);
    await newJob("closed", { execution_window_cron: `0 ${opens.getUTCHours()} * * *` });
    await expectReason("closed", await trigger("closed"), "window", {}, opens.getTime(), opens.getTime());
  });

  test("schedule", async () => {
    const scheduledAt = Date.now() + 10 * MINUTE;
    const item = { scheduled_at: new Date(scheduledAt).toISOString() };
    await newJob("later", {});
    await expectReason("later", await trigger("later", item), "schedule", item, scheduledAt, scheduledAt);
  });

  test("a schedule outside the window: not before both", async () => {
    const scheduledAt = Date.now() + 10 * MINUTE;
    const opens = new Date(Date.now() + 5 * 60 * MINUTE);
    opens.setUTCMinutes(0, 0, 0);
    const item = { scheduled_at: new Date(scheduledAt).toISOString() };
    await newJob("later-closed", { execution_window_cron: `0 ${opens.getUTCHours()} * * *` });
    expect(at((await read(await trigger("later-closed", item))).earliest_start_at)).toBe(opens.getTime());
  });

  test("two windows: not before both have room", async () => {
    await newJob("twice", {
      rate_limit_max: 1,
      rate_limit_window_secs: 20,
      rate_limit_keys: [{ name: "vendor", max: 1, window_secs: 60 }],
    });
    const first = await trigger("twice");
    await reported(first, "completed");
    const frees = at((await read(first)).started_at) + MINUTE;
    await expectReason("twice", await trigger("twice"), "rate_limit", {}, frees, frees + 1_000);
    // And what is due before then waits as long.
    const due = { scheduled_at: new Date(frees - MINUTE / 2).toISOString() };
    await expectReason("twice", await trigger("twice", due), "schedule", due, frees, frees + 1_000);
  });

  test("retry", async () => {
    await newJob("retried", {}, "?status=503");
    const id = await trigger("retried");
    await reported(id, "delayed");
    const run = await read(id);
    expect(run.waiting_for).toBe("retry");
    expect(run.earliest_start_at).toBe(run.next_attempt_at);
    expect(at(run.next_attempt_at)).toBeGreaterThan(Date.now() + 9 * MINUTE);
    expect((await health("retried")).waiting_for).toEqual({ retry: 1 });
  });

  test("paused", async () => {
    await newJob("stopped", {});
    await sluice.api.post("/v1/jobs/stopped/pause");
    const id = await trigger("stopped");
    await expectReason("stopped", id, "paused", {});
    await sluice.api.post("/v1/jobs/stopped/resume");
    await reported(id, "completed");
  });

  test("batch", async () => {
    await newJob("batched", {}, HANG);
    const sent = await sluice.api.post<{ results: { id: string }[] }>("/v1/jobs/batched/trigger-bulk", {
      ...{ items: [{}, {}], max_concurrency: 1 },
    });
    await called("batched");
    expect(await read(sent.results[1]?.id ?? "")).toMatchObject({ waiting_for: "batch", earliest_start_at: null });
    expect((await health("batched")).waiting_for).toEqual({ batch: 1 });
    // A run of its own is not held back.
    expect((await rehearse("batched")).waiting_for).toBeNull();
    await endpoint.release("batched");
    await called("batched", 2);
    await endpoint.release("batched");
  });

  test("hold: the whole job, as long as the endpoint asked", async () => {
    await newJob("held", { hold_on_retry_after: true }, "?status=429&retry_after=120");
    const first = await trigger("held");
    await reported(first, "delayed");
    const answeredAt = (await endpoint.calls("held"))[0]?.ended ?? 0;
    const second = await trigger("held");
    await expectReason(
      "held",
      second,
      "hold",
      {},
      Math.floor(answeredAt) + 2 * MINUTE,
      answeredAt + 2 * MINUTE + 1_000,
    );
  });

  test("hold: only the partition that was drawn from", async () => {
    const limits = { rate_limit_keys: [{ name: "vendor", max: 10, window_secs: 1 }] };
    await newJob("held-part", { hold_on_retry_after: true, ...limits }, "?status=503&times=1&retry_after=120");
    const item = { rate_limit_keys: ["vendor:eu"] };
    await reported(await trigger("held-part", item), "delayed");
    const answeredAt = (await endpoint.calls("held-part"))[0]?.ended ?? 0;
    const second = await trigger("held-part", item);
    const until2 = answeredAt + 2 * MINUTE;
    await expectReason("held-part", second, "hold", item, Math.floor(until2), until2 + 1_000);
    await reported(await trigger("held-part", { rate_limit_keys: ["vendor:us"] }), "completed");
  });

  test("breaker", async () => {
    const circuit_breaker = { failures: 1, window_secs: 60, open_secs: 120 };
    await newJob("broken", { circuit_breaker }, "?status=500");
    await reported(await trigger("broken"), "delayed");
    const answeredAt = (await endpoint.calls("broken"))[0]?.ended ?? 0;
    const second = await trigger("broken");
    const opens = answeredAt + 2 * MINUTE;
    await expectReason("broken", second, "breaker", {}, Math.floor(opens), opens + 1_000);
  });
});

describe("bad input is refused, and the field is named", () => {
  const refusal = async (path: string, body: unknown) => {
    const response = await fetch(sluice.url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${sluice.apiKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as { error?: { details: { path: string; message: string }[] } };
    return { status: response.status, paths: (answer.error?.details ?? []).map(({ path: where }) => where) };
  };
  const named = (fields: Record<string, unknown>) => ({
    rate_limit_keys: [{ name: "a", max: 1, window_secs: 1, ...fields }],
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["half a pair", { rate_limit_max: 5 }, "rate_limit_window_secs"],
    ["the other half", { rate_limit_window_secs: 5 }, "rate_limit_max"],
    ["no starts", { rate_limit_max: 0, rate_limit_window_secs: 1 }, "rate_limit_max"],
    ["a window of nothing", { rate_limit_max: 1, rate_limit_window_secs: 0 }, "rate_limit_window_secs"],
    ["half a second", { rate_limit_max: 1, rate_limit_window_secs: 0.5 }, "rate_limit_window_secs"],
    ["zero calls", { max_concurrency: 0 }, "max_concurrency"],
    ["fewer than none", { max_concurrency_per_key: -1 }, "max_concurrency_per_key"],
    ["a part of a call", { max_concurrency: 1.5 }, "max_concurrency"],
    ["a name with a colon", named({ name: "a:b" }), "rate_limit_keys[0].name"],
    ["a limit without a name", named({ name: "" }), "rate_limit_keys[0].name"],
    ["a limit of zero", named({ max: 0 }), "rate_limit_keys[0].max"],
    [
      "one name twice",
      { rate_limit_keys: [1, 2].map((max) => ({ name: "a", max, window_secs: 1 })) },
      "rate_limit_keys[1].name",
    ],
    [
      "17 limits",
      { rate_limit_keys: Array.from({ length: 17 }, (_, i) => ({ name: `n${i}`, max: 1, window_secs: 1 })) },
      "rate_limit_keys",
    ],
    ["a window that never opens", { execution_window_cron: "0 9 31 2 *" }, "execution_window_cron"],
    ["a window of four fields", { execution_window_cron: "0 9 * *" }, "execution_window_cron"],
    ["an hour that is none", { execution_window_cron: "0 24 * * *" }, "execution_window_cron"],
    ["a zone that is none", { timezone: "Mars/Olympus" }, "timezone"],
    ["an empty zone", { timezone: "" }, "timezone"],
    ["an adaptive limit upside down", { adaptive_concurrency: { min: 9, max: 3 } }, "adaptive_concurrency.min"],
    [
      "a breaker without a threshold",
      { circuit_breaker: { failures: 0, window_secs: 1, open_secs: 1 } },
      "circuit_breaker.failures",
    ],
    ["cron without keys", { cron: "0 * * * *", max_concurrency_per_key: 1 }, "concurrency_key_from"],
  ])("of a job: %s", async (_, fields, path) => {
    const job = { name: "bad", slug: "bad", endpoint_url: `${endpoint.url}/bad`, ...fields };
    expect(await refusal("/v1/jobs", job)).toEqual({ status: 422, paths: [path] });
  });

  test("of an item: keys, limits and partitions", async () => {
    await newJob("picky", { max_concurrency_per_key: 1, rate_limit_keys: [{ name: "n", max: 9, window_secs: 1 }] });
    const answer = (item: Record<string, unknown>) =>
      refusal("/v1/jobs/picky/trigger", { concurrency_key: "k", ...item });
    const bad = (paths: string[]) => ({ status: 422, paths });
    expect(await answer({ concurrency_key: "k".repeat(257) })).toEqual(bad(["concurrency_key"]));
    expect(await answer({ concurrency_key: "" })).toEqual(bad(["concurrency_key"]));
    expect(await answer({ concurrency_key: null })).toEqual(bad(["concurrency_key"]));
    expect(await answer({ concurrency_key: 7 })).toEqual(bad(["concurrency_key"]));
    expect(await answer({ idempotency_key: "k".repeat(257) })).toEqual(bad(["idempotency_key"]));
    for (const rate_limit_keys of [
      ["unknown"],
      ["n:"],
      [`n:${"p".repeat(257)}`],
      ["n", "n"],
      "n",
      ["n:a", "n:b", "n:c", "n:d", "n:e"],
    ]) {
      expect(await answer({ rate_limit_keys }), JSON.stringify(rate_limit_keys)).toEqual(bad(["rate_limit_keys"]));
    }
    expect((await answer({ concurrency_key: "k".repeat(256) })).status).toBe(201);
    for (const partition of ["a:b", "日本 🚦", `"'\\/;--`, "%00\t", "__proto__", "p".repeat(256)]) {
      expect((await answer({ rate_limit_keys: [`n:${partition}`] })).status, partition).toBe(201);
    }
    await called("picky", 7);
  });
});
