import { beforeAll, describe, expect, test } from "vitest";
import { type Received, watch } from "../sse-reader.ts";
import { type KernelWorld, newKernelWorld } from "./kernel-world.ts";

/** Streams as this face's clients read them: by what stands inside of the data. */

let world: KernelWorld;
beforeAll(async () => {
  world = await newKernelWorld();
  await world.action("slow", "/slow?ms=300", { max_concurrency: 2 });
  await world.action("flaky", "/flaky?fail=1");
  await world.action("paused");
});

const follow = (path: string, headers?: Record<string, string>) => watch(world.key, `/kernel${path}`, headers);

/** Every event carries its name and the time inside. */
function expectNamed(all: Received[]): void {
  for (const { event, data } of all) {
    expect(data).toMatchObject({ event, timestamp: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) });
  }
}

describe("of an invocation", () => {
  test("states from the first to the last, and a log for an attempt that failed", async () => {
    const { body } = await world.invoke("flaky", { async: true, payload: '{"a":1}' });
    const stream = await follow(`/invocations/${body.id}/events`);
    expect([stream.status, stream.headers.get("Content-Type")]).toEqual([
      200,
      expect.stringMatching(/^text\/event-stream/),
    ]);
    const all = await stream.rest();
    expectNamed(all);
    const states = all.filter((e) => e.event === "invocation_state");
    expect(states.at(-1)?.data.invocation).toEqual((await world.send("GET", `/invocations/${body.id}`)).body);
    expect(states.slice(0, -1).map((e) => e.data.invocation.status)).not.toContain("succeeded");
    const shown = states.map((e) => JSON.stringify(e.data.invocation));
    expect(shown.filter((state, i) => state === shown[i - 1])).toEqual([]);
    const logs = all.filter((e) => e.event === "log");
    expect(logs.map((e) => e.data.message)).toEqual([expect.stringMatching(/^attempt 1 of 3 failed: .*503/)]);
    expect((await (await follow(`/invocations/${body.id}/events?since=0s`)).rest()).map((e) => e.event)).toEqual([
      "invocation_state",
    ]);
  });

  test("of one that has ended: its end at once; seen already, nothing", async () => {
    const { body } = await world.invoke("slow", { payload: "7" });
    const all = await (await follow(`/invocations/${body.id}/events`)).rest();
    expect(all.map((e) => [e.event, e.data.invocation.status, e.data.invocation.payload])).toEqual([
      ["invocation_state", "succeeded", "7"],
    ]);
    const seen = await follow(`/invocations/${body.id}/events`, { "Last-Event-ID": all[0]?.id ?? "" });
    expect([seen.status, await seen.rest()]).toEqual([204, []]);
  });

  test("since must be a time or a duration", async () => {
    const { body } = await world.invoke("paused", { async: true });
    expect((await follow(`/invocations/${body.id}/events?since=soon`)).status).toBe(400);
  });
});

describe("of a batch job", () => {
  test("the state at once and at the end, progress between, and its sum is the end", async () => {
    const { body } = await world.batch("slow", ["1", "2", "3", "4", "5", "6"]);
    const all = await (await follow(`/batch_jobs/${body.batch_job_id}/events`)).rest();
    expectNamed(all);
    expect(all.map((e) => e.event)).toEqual([
      "batch_state",
      ...all.slice(1, -1).map(() => "batch_progress"),
      "batch_state",
    ]);
    expect(all[0]?.data.batch_job).toMatchObject({ id: body.batch_job_id, total_count: 6, finished_at: null });
    let done = 0;
    for (const { data } of all.slice(1, -1)) {
      expect(Object.keys(data).sort()).toEqual([
        "event",
        "failed_count",
        "succeeded_count",
        "timestamp",
        "total_count",
      ]);
      expect([data.total_count, data.succeeded_count > done, data.failed_count]).toEqual([6, true, 0]);
      done = data.succeeded_count;
    }
    const { invocations, ...end } = await world.endOf(body.batch_job_id);
    expect(invocations).toHaveLength(6);
    expect(all.at(-1)?.data.batch_job).toEqual(end);
  });

  test("of one that has ended: its end alone; an id of another batch is no reason to hold it back", async () => {
    const first = (await world.batch("slow", ["1"])).body.batch_job_id;
    const second = (await world.batch("slow", ["2"])).body.batch_job_id;
    await world.endOf(first);
    await world.endOf(second);
    const [end] = await (await follow(`/batch_jobs/${first}/events`)).rest();
    const others = await (await follow(`/batch_jobs/${second}/events`, { "Last-Event-ID": end?.id ?? "" })).rest();
    expect(others.map((e) => [e.event, e.data.batch_job.id, e.data.batch_job.status])).toEqual([
      ["batch_state", second, "succeeded"],
    ]);
  });

  test("canceled while somebody follows it: failed", async () => {
    const { body } = await world.batch("paused", ["1", "2"]);
    const stream = await follow(`/batch_jobs/${body.batch_job_id}/events`);
    expect((await stream.next())?.data.batch_job.status).toBe("queued");
    await world.send("PATCH", `/batch_jobs/${body.batch_job_id}`, { status: "failed" });
    expect((await stream.rest()).at(-1)?.data.batch_job).toMatchObject({ status: "failed", failed_count: 2 });
  });
});
