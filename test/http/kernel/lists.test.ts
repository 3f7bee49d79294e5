import { beforeAll, describe, expect, test } from "vitest";
import { ask } from "../ask.ts";
import { type KernelWorld, newKernelWorld, refusal } from "./kernel-world.ts";

/** Lists by offset: what was acknowledged is in them, each row once. */

let world: KernelWorld;
let job: { id: string; version_id: string };
beforeAll(async () => {
  world = await newKernelWorld();
  job = await world.action("paused");
});

const list = (query = "", path = "/invocations", of = world) =>
  of.send("GET", `${path}${query === "" ? "" : `?${query}`}`);
const ids = (answer: { body: { id: string }[] }) => answer.body.map((row) => row.id);

async function walk(of: KernelWorld, query: string, path = "/invocations"): Promise<string[]> {
  const seen: string[] = [];
  for (let offset = 0; ; ) {
    const page = await list(`${query}&offset=${offset}`, path, of);
    expect([page.status, page.headers.get("X-Offset")]).toEqual([200, String(offset)]);
    seen.push(...ids(page));
    const next = Number(page.headers.get("X-Next-Offset"));
    expect(page.headers.get("X-Has-More")).toBe(String(next > 0));
    if (next === 0) return seen;
    expect(next).toBe(offset + page.body.length);
    offset = next;
  }
}

test("what was just created is in the list, newest first, in whichever way it was created", async () => {
  const mine: string[] = [];
  for (const way of ["kernel", "native", "kernel", "native"]) {
    const { body } =
      way === "kernel"
        ? await world.invoke("paused", { async: true })
        : await ask("POST", "/v1/jobs/paused/trigger", { key: world.key, body: {} });
    mine.unshift(body.id);
    for (const query of ["", `app_name=${world.app}`, "action_name=paused", "status=queued", "version=latest"]) {
      expect(ids(await list(`${query}&limit=${mine.length}`))).toEqual(mine);
    }
  }
});

test("pages by offset hold each row once, and the end says so", async () => {
  const other = await newKernelWorld();
  await other.action("paused");
  await other.action("other");
  for (const action of ["paused", "other", "paused"]) {
    await other.batch(
      action,
      Array.from({ length: 50 }, (_, i) => String(i)),
    );
  }
  for (const limit of [7, 50, 100]) {
    const seen = await walk(other, `limit=${limit}`);
    expect([seen.length, seen]).toEqual([150, [...new Set(seen)].sort().reverse()]);
  }
  expect((await walk(other, "action_name=other&limit=20")).length).toBe(50);
  expect((await walk(other, "limit=2", "/batch_jobs")).length).toBe(3);
  const page = async (query: string, path?: string) => {
    const { body, headers } = await list(query, path, other);
    return [body.length, ...["X-Limit", "X-Offset", "X-Next-Offset", "X-Has-More"].map((name) => headers.get(name))];
  };
  expect(await page("")).toEqual([20, "20", "0", "20", "true"]);
  expect(await page("limit=1&offset=149")).toEqual([1, "1", "149", "0", "false"]);
  expect(await page("offset=5000")).toEqual([0, "20", "5000", "0", "false"]);
  expect(await page("", "/batch_jobs")).toEqual([3, "50", "0", "0", "false"]);
});

describe("filters", () => {
  test("by status: each invocation in one of them", async () => {
    await world.action("echo", "/echo");
    await world.action("broken", "/status/400");
    await world.action("hang", "/hang");
    const { id: done } = (await world.invoke("echo")).body;
    const { id: failed } = (await world.invoke("broken")).body;
    const { id: canceled } = (await world.invoke("paused", { async: true })).body;
    await world.send("PATCH", `/invocations/${canceled}`, { status: "failed" });
    const { id: running } = (await world.invoke("hang", { async: true })).body;
    await expect.poll(async () => (await world.send("GET", `/invocations/${running}`)).body.status).toBe("running");
    const of = async (status: string) => ids(await list(`status=${status}&limit=100`));
    expect(await of("succeeded")).toEqual([done]);
    expect(await of("failed")).toEqual([canceled, failed]);
    expect(await of("running")).toEqual([running]);
    expect(await of("queued")).not.toContain(canceled);
    await world.send("PATCH", `/invocations/${running}`, { status: "failed" });
  });

  test("by version: latest, a number, an id", async () => {
    await ask("PATCH", "/v1/jobs/paused", { key: world.key, body: { description: "second" } });
    const { id } = (await world.invoke("paused", { async: true, version: "2" })).body;
    const of = async (version: string) => ids(await list(`action_name=paused&version=${version}&limit=100`));
    expect([await of("2"), await of("latest")]).toEqual([[id], [id]]);
    expect((await of("1")).length).toBeGreaterThan(3);
    expect(await of(job.version_id)).toEqual(await of("1"));
    expect(await of("99")).toEqual([]);
  });

  test("since: a time, or how long ago", async () => {
    const { id } = (await world.invoke("paused", { async: true })).body;
    const { started_at } = (await world.send("GET", `/invocations/${id}`)).body;
    expect(ids(await list(`since=${started_at}`))).toEqual([id]);
    expect(ids(await list("since=1h30m&limit=1"))).toEqual([id]);
    expect(ids(await list("since=2999-01-01T00:00:00Z"))).toEqual([]);
  });

  test("query: an id, or a part of a name; deployments there are none", async () => {
    const { id } = (await world.invoke("paused", { async: true })).body;
    expect(ids(await list(`query=${id}`))).toEqual([id]);
    expect(ids(await list("query=aus&limit=1"))).toEqual([id]);
    expect(ids(await list(`query=${world.app}&limit=1`))).toEqual([id]);
    expect(ids(await list("query=zzz"))).toEqual([]);
    expect(ids(await list("deployment_id=x"))).toEqual([]);
  });

  test("unknown apps and actions have empty lists", async () => {
    for (const path of ["/invocations", "/batch_jobs"]) {
      for (const query of ["app_name=nope", "action_name=nope", `action_name=${job.id}`]) {
        const { status, body, headers } = await list(query, path);
        expect([status, body, headers.get("X-Has-More")]).toEqual([200, [], "false"]);
      }
    }
  });

  test("batch jobs by status", async () => {
    const done = (await world.batch("echo", ["1"])).body.batch_job_id;
    await world.endOf(done);
    const waiting = (await world.batch("paused", ["1"])).body.batch_job_id;
    const canceled = (await world.batch("paused", ["1"])).body.batch_job_id;
    await world.send("PATCH", `/batch_jobs/${canceled}`, { status: "failed" });
    const open = await ask("POST", "/v1/jobs/paused/trigger-bulk?open=true", { key: world.key, body: { items: [{}] } });
    const of = async (status: string) => ids(await list(`status=${status}`, "/batch_jobs"));
    expect(await of("succeeded")).toEqual([done]);
    expect(await of("queued")).toEqual([open.body.batch_id, waiting]);
    expect(await of("failed")).toEqual([canceled]);
    expect([await of("running"), await of("partially_failed")]).toEqual([[], []]);
    expect(ids(await list("", "/batch_jobs"))).toEqual([open.body.batch_id, canceled, waiting, done]);
  });

  test.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["limit=x", "limit"],
    ["offset=-1", "offset"],
    ["offset=1.5", "offset"],
    ["offset=100001", "offset"],
    ["status=done", "status"],
    ["cursor=abc", "cursor"],
  ])("%s is 400", async (query, name) => {
    expect(refusal(await list(query))).toEqual([400, "bad_request", [name]]);
    expect(refusal(await list(query, "/batch_jobs"))).toEqual([400, "bad_request", [name]]);
  });

  test.each(["since=yesterday", "since=5", "since=5x", "version=", "status=partially_failed"])(
    "%s is 400",
    async (query) => {
      expect(refusal(await list(query))[0]).toBe(400);
    },
  );
});

test("what ends while the list waits for it is in it", async () => {
  const other = await newKernelWorld();
  await other.action("brief", "/slow?ms=150");
  const { id } = (await other.invoke("brief", { async: true })).body;
  expect(ids(await list("limit=1", "/invocations", other))).toEqual([id]);
});
