import { beforeAll, describe, expect, test, vi } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import { tellUntold } from "../../src/operations/job-changes.ts";
import { groupStats } from "../../src/operations/job-groups.ts";
import { type Answer, ask, askWith, bindings, newJob, newProject } from "./ask.ts";

/** Groups of jobs (contract 7), from the outside. */

let project: { id: string; slug: string; key: string };
let key: string;
beforeAll(async () => {
  project = await newProject();
  key = project.key;
});

const get = (path: string): Promise<Answer> => ask("GET", path, { key });
const post = (path: string, body?: unknown): Promise<Answer> => ask("POST", path, { key, body });
const paths = (answer: Answer): string[] => answer.body.error.details.map((d: { path: string }) => d.path);

async function newGroup(name = "Group"): Promise<Answer["body"]> {
  const made = await post("/v1/job-groups", { name });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return made.body;
}

const jobsIn = (group: { id: string }, count: number, fields: Record<string, unknown> = {}) =>
  Promise.all(Array.from({ length: count }, () => newJob(key, { group_id: group.id, ...fields })));

describe("a group", () => {
  test("is created, read by id and slug, changed and deleted", async () => {
    const made = await post("/v1/job-groups", { name: "Nightly mails", description: "All of them" });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      project_id: project.id,
      name: "Nightly mails",
      slug: "nightly-mails",
      description: "All of them",
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    expect((await get("/v1/job-groups/nightly-mails")).body).toEqual(made.body);
    const changed = await ask("PATCH", `/v1/job-groups/${made.body.id}`, {
      key,
      body: { description: null, slug: "mails" },
    });
    expect(changed.body).toMatchObject({ name: "Nightly mails", slug: "mails", description: null });
    expect((await get("/v1/job-groups?limit=1")).body.data).toEqual([changed.body]);
    expect((await ask("DELETE", "/v1/job-groups/mails", { key })).status).toBe(204);
    expect((await get(`/v1/job-groups/${made.body.id}`)).status).toBe(404);
  });

  test("of the wrong shape, with a taken slug, or another project's", async () => {
    expect(paths(await post("/v1/job-groups", { nmae: "x", description: 1 })).sort()).toEqual([
      "description",
      "name",
      "nmae",
    ]);
    const group = await newGroup("Taken");
    expect((await post("/v1/job-groups", { name: "x", slug: "taken" })).status).toBe(409);
    const second = await newGroup("Taken");
    expect(second.slug).toBe("taken-2");
    expect((await ask("PATCH", `/v1/job-groups/${second.id}`, { key, body: { slug: "taken" } })).status).toBe(409);
    const other = await newProject();
    for (const [method, path] of [
      ["GET", ""],
      ["DELETE", ""],
      ["GET", "/jobs"],
      ["GET", "/stats"],
      ["POST", "/pause-all"],
      ["POST", "/resume-all"],
    ]) {
      const answer = await ask(method ?? "", `/v1/job-groups/${group.id}${path}`, { key: other.key });
      expect([path, answer.status]).toEqual([path, 404]);
    }
  });

  test("with jobs in it is not deleted: 409 names them", async () => {
    const group = await newGroup();
    const jobs = await jobsIn(group, 2);
    const refused = await ask("DELETE", `/v1/job-groups/${group.id}`, { key });
    expect(refused.status).toBe(409);
    expect(paths(refused).sort()).toEqual(jobs.map((job) => `jobs.${job.slug}`).sort());
    for (const job of jobs) await ask("DELETE", `/v1/jobs/${job.id}`, { key });
    expect((await ask("DELETE", `/v1/job-groups/${group.id}`, { key })).status).toBe(204);
  });

  test("lists its jobs page by page, each once, as the job list with its filter does", async () => {
    const group = await newGroup();
    const jobs = await jobsIn(group, 5, { tags: { team: "a" } });
    await newJob(key);
    const walk = async (path: string): Promise<string[]> => {
      const ids: string[] = [];
      for (let cursor: string | null = ""; cursor !== null; ) {
        const page: Answer = await get(`${path}limit=2${cursor && `&cursor=${cursor}`}`);
        ids.push(...page.body.data.map((job: { id: string }) => job.id));
        cursor = page.body.next_cursor;
      }
      return ids;
    };
    const newestFirst = jobs
      .map((job) => job.id)
      .sort()
      .reverse();
    expect(await walk(`/v1/job-groups/${group.id}/jobs?`)).toEqual(newestFirst);
    expect(await walk(`/v1/jobs?group_id=${group.id}&tag=team:a&enabled=true&q=job&`)).toEqual(newestFirst);
    const first = await get(`/v1/job-groups/${group.id}/jobs?limit=2`);
    const elsewhere = await get(`/v1/job-groups/${(await newGroup()).id}/jobs?cursor=${first.body.next_cursor}`);
    expect(elsewhere.status).toBe(400);
  });
});

describe("the jobs of a group together", () => {
  const paused = async (id: string): Promise<[boolean, boolean]> => {
    const job = (await get(`/v1/jobs/${id}`)).body;
    // A run that is accepted says what holds it back: that is the coordinator's own word.
    const run = await post(`/v1/jobs/${id}/trigger`, { dry_run: true });
    return [job.paused, run.body.waiting_for === "paused"];
  };

  test("are paused and resumed, in force at every coordinator when it is answered", async () => {
    const group = await newGroup();
    const jobs = await jobsIn(group, 8);
    await post(`/v1/jobs/${jobs[0].id}/pause`);
    const stopped = await post(`/v1/job-groups/${group.id}/pause-all`);
    expect([stopped.status, stopped.body]).toEqual([200, { group_id: group.id, paused: true, changed: 7 }]);
    for (const { id } of jobs) expect(await paused(id)).toEqual([true, true]);
    const again = await post(`/v1/job-groups/${group.id}/pause-all`);
    expect(again.body.changed).toBe(0);
    expect((await post(`/v1/job-groups/${group.id}/resume-all`)).body).toEqual({
      group_id: group.id,
      paused: false,
      changed: 8,
    });
    for (const { id } of jobs) expect(await paused(id)).toEqual([false, false]);
    const one = (await get(`/v1/jobs/${jobs[1].id}`)).body;
    expect([one.version, one.updated_by]).toEqual([1, expect.stringMatching(/^apikey:/)]);
  });

  test("whose coordinator cannot hear: 503, the others are told at once, and it is told later", async () => {
    const group = await newGroup();
    const [deaf, ...others] = await jobsIn(group, 3);
    const name = `${deaf.id}:0`;
    const COORDINATOR = new Proxy(bindings.COORDINATOR, {
      get: (target, property) => {
        if (property !== "idFromName") return Reflect.get(target, property).bind(target);
        return (asked: string) => {
          if (asked === name) throw new Error("unreachable");
          return target.idFromName(asked);
        };
      },
    });
    const quiet = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const answer = await askWith({ COORDINATOR }, "POST", `/v1/job-groups/${group.id}/pause-all`, { key });
    quiet.mockRestore();
    expect([answer.status, answer.headers.get("Retry-After")]).toEqual([503, "5"]);
    expect(answer.body.error.message).toContain("for 1 jobs");
    for (const { id } of others) expect(await paused(id)).toEqual([true, true]);
    await tellUntold(bindings, 200);
    expect(await paused(deaf.id)).toEqual([true, true]);
  });

  test("have their stats added up", async () => {
    const group = await newGroup();
    const empty = (await get(`/v1/job-groups/${group.id}/stats`)).body;
    expect(empty).toMatchObject({ jobs: 0, waiting: 0, executing: 0, last_24h: { success_rate: null } });
    const jobs = await jobsIn(group, 3);
    await post(`/v1/job-groups/${group.id}/pause-all`);
    for (const [i, { id }] of jobs.entries()) {
      for (let n = 0; n <= i; n++) await post(`/v1/jobs/${id}/trigger`, {});
    }
    expect((await get(`/v1/job-groups/${group.id}/stats`)).body).toMatchObject({ jobs: 3, waiting: 6, executing: 0 });
    for (const { id } of jobs) await coordinatorOf(bindings, id).cancelWhere({ status: null });
    await vi.waitFor(
      async () => {
        const stats = (await get(`/v1/job-groups/${group.id}/stats`)).body;
        expect([stats.waiting, stats.last_24h.by_status.canceled, stats.last_24h.success_rate]).toEqual([0, 6, 0]);
      },
      { timeout: 10_000, interval: 50 },
    );
  });

  test("of a large group are read from the copy, in one query", async () => {
    const group = await newGroup();
    const jobs = await jobsIn(group, 3);
    const other = await newJob(key);
    for (const { id } of [...jobs, other]) {
      await bindings.DB.prepare(
        "INSERT INTO job_stats (job_id, at, ver, waiting, executing, doc) VALUES (?, 0, 1, 5, 2, '{}')",
      )
        .bind(id)
        .run();
    }
    const stats = (asked: number) => groupStats(bindings, group, Date.now(), asked);
    expect(await stats(2)).toMatchObject({ jobs: 3, waiting: 15, executing: 6 });
    expect(await stats(3)).toMatchObject({ jobs: 3, waiting: 0, executing: 0 });
  });
});
