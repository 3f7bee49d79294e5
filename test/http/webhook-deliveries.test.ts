import { beforeAll, describe, expect, inject, test, vi } from "vitest";
import { ledgerId } from "../../src/domain/id.ts";
import { ADMIN, type Answer, ask, bindings, newJob, newKey, newProject } from "./ask.ts";

const zoo = inject("endpointUrl");
const PATH = "/v1/webhook-deliveries";
const SECRET = "a secret that nobody may see";

let project: { id: string; key: string };
let stranger: { id: string; key: string };
let job: Answer["body"];
beforeAll(async () => {
  project = await newProject();
  stranger = await newProject();
  job = await heldJob(project.key, { webhook_url: `${zoo}/ok?${crypto.randomUUID()}`, webhook_secret: SECRET });
});

/** A job whose runs wait until they are canceled. */
async function heldJob(key: string, fields: Record<string, unknown>): Promise<Answer["body"]> {
  const made = await newJob(key, { name: "Held", ...fields });
  await ask("POST", `/v1/jobs/${made.id}/pause`, { key });
  return made;
}

/** A run that was canceled; its id. */
async function canceledRun(of = job, key = project.key): Promise<string> {
  const { body } = await ask("POST", `/v1/jobs/${of.id}/trigger`, { key, body: {} });
  await ask("POST", `/v1/runs/${body.id}/cancel`, { key });
  return body.id;
}

const get = (id: string, key = project.key) => ask("GET", `${PATH}/${id}`, { key });
const list = (query: string, key = project.key) => ask("GET", `${PATH}${query}`, { key });

/** The one delivery that a filter finds, once it has this status. */
const settled = (query: string, status: string): Promise<Answer["body"]> =>
  vi.waitFor(
    async () => {
      const { body } = await list(query);
      expect(body.data.map((d: { status: string }) => d.status)).toEqual([status]);
      return body.data[0];
    },
    { timeout: 15_000, interval: 50 },
  );

interface Heard {
  path: string;
  headers: Record<string, string>;
  body: string;
}
const heard = async (path: string): Promise<Heard[]> =>
  ((await (await fetch(`${zoo}/__log`)).json()) as Heard[]).filter((call) => call.path === path);

describe("webhook deliveries", () => {
  test("tell of a run's end, and show what became of it", async () => {
    const run = await canceledRun();
    const found = await settled(`?run_id=${run}`, "delivered");
    expect(found).toEqual({
      id: expect.any(String),
      type: "run.canceled",
      run_id: run,
      batch_id: null,
      url: job.webhook_url,
      status: "delivered",
      attempts: [{ at: expect.any(String), http_status: 200, error: null }],
      next_attempt_at: null,
      created_at: expect.any(String),
    });
    expect((await get(found.id)).body).toEqual(found);
    const [call] = (await heard(job.webhook_url.slice(zoo.length))).filter(
      ({ headers }) => headers["webhook-id"] === found.id,
    );
    expect(JSON.parse(call?.body ?? "")).toMatchObject({
      type: "run.canceled",
      run_id: run,
      job_id: job.id,
      status: "canceled",
    });
  });

  test("tell of a batch's end at its own address; by `batch_id` they stand with those of its runs", async () => {
    const url = `${zoo}/ok?${crypto.randomUUID()}`;
    const { body } = await ask("POST", `/v1/jobs/${job.id}/trigger-bulk`, {
      key: project.key,
      body: { items: [{}, {}], webhook_url: url, webhook_secret: SECRET },
    });
    await ask("POST", `/v1/batch-operations/${body.batch_id}/cancel`, { key: project.key });
    const types = await vi.waitFor(
      async () => {
        const answer = await list(`?batch_id=${body.batch_id}&status=delivered`);
        expect(answer.body.data).toHaveLength(3);
        return answer.body.data.map((d: { type: string; url: string; run_id: string | null }) => [
          d.type,
          d.url,
          d.run_id !== null,
        ]);
      },
      { timeout: 15_000 },
    );
    expect(types.sort()).toEqual([
      ["batch.finished", url, false],
      ["run.canceled", job.webhook_url, true],
      ["run.canceled", job.webhook_url, true],
    ]);
    const [call, ...more] = await heard(url.slice(zoo.length));
    expect(more).toEqual([]);
    const batch = await ask("GET", `/v1/batch-operations/${body.batch_id}`, { key: project.key });
    expect(JSON.parse(call?.body ?? "")).toMatchObject({
      type: "batch.finished",
      batch_id: body.batch_id,
      data: batch.body,
    });
  });

  test("are listed newest first, page by page, by status too; a cursor holds for its filters alone", async () => {
    const mine = await newProject();
    const { id } = await heldJob(mine.key, { webhook_url: `${zoo}/status/410?${crypto.randomUUID()}` });
    const runs: string[] = [];
    for (let i = 0; i < 5; i++) runs.unshift(await canceledRun({ id }, mine.key));
    await vi.waitFor(
      async () => {
        expect((await list("?status=dead", mine.key)).body.data).toHaveLength(5);
      },
      { timeout: 15_000 },
    );
    const seen: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: Answer = await list(`?limit=2&status=dead${cursor && `&cursor=${cursor}`}`, mine.key);
      seen.push(...page.body.data.map((d: { run_id: string }) => d.run_id));
      cursor = page.body.next_cursor;
      if (cursor) expect((await list(`?limit=2&cursor=${cursor}`, mine.key)).status).toBe(400);
    }
    expect(seen).toEqual(runs);
    expect((await list("?status=pending&status=delivered", mine.key)).body.data).toEqual([]);
    expect((await list(`?project_id=${mine.id}`, ADMIN)).body.data).toHaveLength(5);
  });

  test("outlive their address: what ended while it stood there is told, what ends without it is not", async () => {
    const webhook_url = `${zoo}/flaky?fail=1&${crypto.randomUUID()}`;
    const mine = await heldJob(project.key, { webhook_url });
    const run = await canceledRun(mine);
    const { id } = await vi.waitFor(
      async () => {
        const { body } = await list(`?run_id=${run}`);
        expect(body.data).toMatchObject([{ status: "pending", attempts: [{ http_status: 503 }] }]);
        return body.data[0];
      },
      { timeout: 15_000 },
    );
    await ask("PATCH", `/v1/jobs/${mine.id}`, { key: project.key, body: { webhook_url: null } });
    const later = await canceledRun(mine);
    await ask("POST", `${PATH}/${id}/retry`, { key: project.key });
    expect(await settled(`?run_id=${run}`, "delivered")).toMatchObject({ url: webhook_url });
    expect((await heard(webhook_url.slice(zoo.length))).map(({ body }) => JSON.parse(body).run_id)).toEqual([run, run]);
    expect((await list(`?run_id=${later}`)).body.data).toEqual([]);
  });

  test("are another project's affair: 404, and empty lists", async () => {
    const run = await canceledRun();
    const { id } = await settled(`?run_id=${run}`, "delivered");
    expect((await get(id, stranger.key)).status).toBe(404);
    expect((await ask("POST", `${PATH}/${id}/retry`, { key: stranger.key })).status).toBe(404);
    expect((await list(`?run_id=${run}`, stranger.key)).body.data).toEqual([]);
    expect((await list(`?project_id=${project.id}`, stranger.key)).status).toBe(404);
    expect((await list("", ADMIN)).status).toBe(422);
    expect((await get(id, ADMIN)).status).toBe(200);
    const unknown = ledgerId({ at: 1_700_000_000_000, seq: 9, lane: 0, job: 1 });
    for (const absent of [unknown, run, "no-id"]) expect((await get(absent)).status).toBe(404);
    const reader = await newKey(project.id, ["webhooks:read"]);
    expect((await get(id, reader)).status).toBe(200);
    expect((await ask("POST", `${PATH}/${id}/retry`, { key: reader })).status).toBe(403);
    expect((await list("", await newKey(project.id, ["runs:read"]))).status).toBe(403);
  });

  test.each(["?status=sent", "?run_id=x", "?batch_id=7", "?limit=0", "?run=1"])("%s is 422", async (query) => {
    expect((await list(query)).status).toBe(422);
  });
});

describe("a retry by hand", () => {
  test("sends a delivered one again, under its id; with an Idempotency-Key only once", async () => {
    const { id } = await settled(`?run_id=${await canceledRun()}`, "delivered");
    const again = () =>
      ask("POST", `${PATH}/${id}/retry`, { key: project.key, headers: { "Idempotency-Key": `again-${id}` } });
    const first = await again();
    expect(first.body).toMatchObject({ id, status: "pending" });
    const second = await again();
    expect([second.status, second.body]).toEqual([first.status, first.body]);
    expect(second.headers.get("Idempotency-Replayed")).toBe("true");
    const calls = await vi.waitFor(
      async () => {
        expect((await get(id)).body).toMatchObject({ status: "delivered", attempts: [{}, {}] });
        return (await heard(job.webhook_url.slice(zoo.length))).filter(({ headers }) => headers["webhook-id"] === id);
      },
      { timeout: 15_000 },
    );
    expect(calls).toHaveLength(2);
    expect(calls[0]?.body).toBe(calls[1]?.body);
  });

  test("of a dead one goes where its job wants it now", async () => {
    const mine = await heldJob(project.key, { webhook_url: `${zoo}/status/410` });
    const run = await canceledRun(mine);
    const { id } = await settled(`?run_id=${run}`, "dead");
    const url = `${zoo}/ok?${crypto.randomUUID()}`;
    await ask("PATCH", `/v1/jobs/${mine.id}`, { key: project.key, body: { webhook_url: url } });
    expect((await ask("POST", `${PATH}/${id}/retry`, { key: project.key })).body).toMatchObject({
      id,
      url,
      status: "pending",
    });
    expect(await settled(`?run_id=${run}`, "delivered")).toMatchObject({
      id,
      url,
      attempts: [{ http_status: 410 }, { http_status: 200 }],
    });
  });
});

describe("a webhook's secret", () => {
  test("is sealed, and stands nowhere in the clear", async () => {
    const { id } = await settled(`?run_id=${await canceledRun()}`, "delivered");
    const row = await bindings.DB.prepare("SELECT * FROM webhook_deliveries WHERE id = ?").bind(id).first();
    expect(row?.secret).toMatch(/^v1\.1\./);
    const stored = await bindings.DB.prepare("SELECT spec FROM jobs WHERE id = ?").bind(job.id).first();
    expect(JSON.stringify([row, stored, job, (await get(id)).body])).not.toContain(SECRET);
    expect(job).toMatchObject({ webhook_secret_set: true });
    expect(job).not.toHaveProperty("webhook_secret");
  });

  test.each([
    ["x", "must have at least 8 characters"],
    ["whsec_no-base64!", "must have base64 behind whsec_"],
  ])("%s is refused", async (webhook_secret, message) => {
    const refused = await ask("POST", "/v1/jobs", {
      key: project.key,
      body: { name: "j", endpoint_url: "https://api.example.com/", webhook_secret },
    });
    expect([refused.status, refused.body.error.details]).toEqual([422, [{ path: "webhook_secret", message }]]);
  });

  test.each(["ftp://x.example/", "http://10.0.0.1/", "https://user@x.example/", "service://MAIL/hook", "nowhere"])(
    "goes to no forbidden address: %s",
    async (webhook_url) => {
      const refused = await ask("PATCH", `/v1/jobs/${job.id}`, { key: project.key, body: { webhook_url } });
      expect([refused.status, refused.body.error.details.map((d: { path: string }) => d.path)]).toEqual([
        422,
        ["webhook_url"],
      ]);
      const bulk = await ask("POST", `/v1/jobs/${job.id}/trigger-bulk`, {
        key: project.key,
        body: { items: [{}], webhook_url },
      });
      expect([bulk.status, bulk.body.error.details.map((d: { path: string }) => d.path)]).toEqual([
        422,
        ["webhook_url"],
      ]);
    },
  );
});
