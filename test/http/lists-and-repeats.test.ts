import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { ask, askWith, bindings, ENDPOINT, newJob, newProject } from "./ask.ts";

/** Lists by cursor, and requests with an Idempotency-Key (contract 1). */

let project: { id: string; slug: string; key: string };
let key: string;
beforeAll(async () => {
  project = await newProject();
  key = project.key;
});

interface Row {
  id: string;
}

/** Rows as they would be, many with one timestamp, without the cost of creating jobs. */
async function addJobs(projectId: string, ids: string[]): Promise<void> {
  const template = await newJob(key);
  const columns =
    "slug, name, group_id, environment_id, enabled, paused, revision, told_revision, version, version_id, spec, created_by, updated_by, created_at, updated_at";
  await bindings.DB.prepare(
    `INSERT INTO jobs (id, project_id, ${columns}) SELECT value, ?1, ${columns.replace("slug", "value")} FROM jobs, json_each(?2) WHERE jobs.id = ?3`,
  )
    .bind(projectId, JSON.stringify(ids), template.id)
    .run();
}

/** A UUIDv7 of a time, unlike those of other worlds. */
const idAt = (world: number, at: number, n: number): string =>
  `00000000-${at.toString(16).padStart(4, "0")}-7${world.toString(16).padStart(3, "0")}-8000-${n.toString(16).padStart(12, "0")}`;

describe("a walk by cursor", () => {
  test("yields each row once, in order, while rows are added and thousands share a timestamp", async () => {
    let world = 1;
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 2 ** 40 })), {
          maxLength: 60,
          selector: ([at, n]) => `${at}/${n}`,
        }),
        fc.integer({ min: 1, max: 9 }),
        async (made, limit) => {
          const { id: walked, key: walker } = await newProject();
          world++;
          const ids = made.map(([at, n]) => idAt(world, at, n));
          await addJobs(walked, ids);
          const seen: string[] = [];
          let cursor: string | null = null;
          let later = 0;
          do {
            const page = await ask("GET", `/v1/jobs?limit=${limit}${cursor === null ? "" : `&cursor=${cursor}`}`, {
              key: walker,
            });
            expect(page.status).toBe(200);
            expect(page.body.has_more).toBe(page.body.next_cursor !== null);
            expect(page.body.data.length).toBeLessThanOrEqual(limit);
            seen.push(...page.body.data.map((row: Row) => row.id));
            cursor = page.body.next_cursor;
            // Somebody adds newer ones meanwhile.
            await addJobs(walked, [idAt(world, 9, later++)]);
          } while (cursor !== null);
          expect(seen).toEqual([...ids].sort().reverse());
        },
      ),
      { numRuns: 8 },
    );
  });

  test("is bound to its list, project and filters; a bad cursor is 400", async () => {
    for (let i = 0; i < 3; i++) await newJob(key, { tags: { walk: "1" } });
    const { next_cursor } = (await ask("GET", "/v1/jobs?limit=1&tag=walk:1", { key })).body;
    expect((await ask("GET", `/v1/jobs?limit=2&tag=walk:1&cursor=${next_cursor}`, { key })).status).toBe(200);
    const other = await newProject();
    for (const [path, asker] of [
      [`/v1/jobs?cursor=${next_cursor}`, key],
      [`/v1/jobs?tag=walk:2&cursor=${next_cursor}`, key],
      [`/v1/jobs?tag=walk:1&enabled=true&cursor=${next_cursor}`, key],
      [`/v1/jobs?tag=walk:1&cursor=${next_cursor}`, other.key],
      [`/v1/api-keys?cursor=${next_cursor}`, key],
      [`/v1/projects?cursor=${next_cursor}`, key],
      [`/v1/jobs?tag=walk:1&cursor=${next_cursor}x`, key],
      [`/v1/jobs?tag=walk:1&cursor=${next_cursor.slice(1)}`, key],
      ["/v1/jobs?cursor=", key],
      ["/v1/jobs?cursor=%00", key],
      [`/v1/jobs?cursor=${btoa("x.y")}`, key],
    ] as const) {
      const answer = await ask("GET", path, { key: asker });
      expect([path, answer.status, answer.body.error?.code]).toEqual([path, 400, "bad_request"]);
    }
  });

  test("goes through versions and keys as well", async () => {
    const job = await newJob(key);
    for (let i = 0; i < 4; i++) await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { description: `${i}` } });
    const first = (await ask("GET", `/v1/jobs/${job.id}/versions?limit=3`, { key })).body;
    const second = (await ask("GET", `/v1/jobs/${job.id}/versions?limit=3&cursor=${first.next_cursor}`, { key })).body;
    expect([...first.data, ...second.data].map((v: { version: number }) => v.version)).toEqual([5, 4, 3, 2, 1]);
    expect(second.has_more).toBe(false);
  });

  test("limit is 1..200, 50 by default; unknown and repeated parameters are 422", async () => {
    await addJobs(
      project.id,
      Array.from({ length: 201 }, (_, i) => idAt(0, 1, i)),
    );
    for (const [query, count] of [
      ["", 50],
      ["limit=1", 1],
      ["limit=200", 200],
    ] as const) {
      expect((await ask("GET", `/v1/jobs?${query}`, { key })).body.data).toHaveLength(count);
    }
    for (const query of [
      "limit=0",
      "limit=201",
      "limit=-1",
      "limit=x",
      "limit=1.5",
      "limit=",
      "limit=1&limit=2",
      "limt=5",
      "enabled=yes",
      "tag=nocolon",
      "tag=:v",
      "q=",
    ]) {
      const answer = await ask("GET", `/v1/jobs?${query}`, { key });
      expect([query, answer.status]).toEqual([query, 422]);
      expect(answer.body.error.details.length).toBeGreaterThan(0);
    }
  });

  test("filters by enabled, tags and text", async () => {
    const { key: k } = await newProject();
    const names = (answer: { body: { data: { name: string }[] } }) => answer.body.data.map((j) => j.name).sort();
    await newJob(k, { name: "Send Mail", tags: { team: "a", tier: "1" } });
    await newJob(k, { name: "Load ÄPFEL", tags: { team: "a" }, enabled: false, description: "100%_of Mail" });
    await newJob(k, { name: "Other", tags: { team: "b", 'x"y': "z" } });
    for (const [query, found] of [
      ["enabled=false", ["Load ÄPFEL"]],
      ["tag=team:a", ["Load ÄPFEL", "Send Mail"]],
      ["tag=team:a&tag=tier:1", ["Send Mail"]],
      ["tag=team:c", []],
      [`tag=${encodeURIComponent('x"y:z')}`, ["Other"]],
      ["q=mail", ["Load ÄPFEL", "Send Mail"]],
      ["q=MAIL&enabled=true", ["Send Mail"]],
      ["q=%25_", ["Load ÄPFEL"]],
      ["q=send-mail", ["Send Mail"]],
      ["group_id=x", []],
      ["environment_id=x", []],
    ] as const) {
      expect([query, names(await ask("GET", `/v1/jobs?${query}`, { key: k }))]).toEqual([query, found]);
    }
  });
});

describe("a POST with an Idempotency-Key", () => {
  const create = (name: string, idempotency: Record<string, string>, k = key) =>
    ask("POST", "/v1/jobs", { key: k, body: { name, endpoint_url: ENDPOINT }, headers: idempotency });
  const count = async (name: string): Promise<number> =>
    (await bindings.DB.prepare("SELECT count(*) AS n FROM jobs WHERE name = ?").bind(name).first<{ n: number }>())?.n ??
    -1;

  test("is done once and answered alike, by either header", async () => {
    const first = await create("Once", { "Idempotency-Key": "k1" });
    expect(first.headers.get("Idempotency-Replayed")).toBeNull();
    const answers = [
      await create("Once", { "Idempotency-Key": "k1" }),
      await create("Once", { "X-Idempotency-Key": "k1" }),
      await create("Once", { "X-Idempotency-Key": "k1", "Idempotency-Key": "k1" }),
    ];
    for (const again of answers) {
      expect([again.status, again.body]).toEqual([201, first.body]);
      expect(again.headers.get("Idempotency-Replayed")).toBe("true");
      expect(again.headers.get("ETag")).toBe(first.headers.get("ETag"));
    }
    expect(await count("Once")).toBe(1);
  });

  test("with another body is 409; in another project, route or under another key it is another request", async () => {
    const { key: elsewhere } = await newProject();
    await create("Scoped", { "Idempotency-Key": "k2" });
    expect((await create("Scoped otherwise", { "Idempotency-Key": "k2" })).status).toBe(409);
    expect((await create("Scoped", { "Idempotency-Key": "K2" })).headers.get("Idempotency-Replayed")).toBeNull();
    expect(
      (await create("Scoped", { "Idempotency-Key": "k2" }, elsewhere)).headers.get("Idempotency-Replayed"),
    ).toBeNull();
    const job = await newJob(key);
    const clone = await ask("POST", `/v1/jobs/${job.id}/clone`, {
      key,
      body: {},
      headers: { "Idempotency-Key": "k2" },
    });
    expect(clone.status).toBe(201);
    expect(await count("Scoped")).toBe(3);
  });

  test("leaves a key's secret out of the repeat", async () => {
    const issue = () =>
      ask("POST", "/v1/api-keys", {
        key,
        body: { name: "once", scopes: ["*"] },
        headers: { "Idempotency-Key": "secret" },
      });
    const first = await issue();
    const { key: secret, ...shown } = first.body;
    const again = await issue();
    expect(again.body).toEqual(shown);
    const rows = await bindings.DB.prepare("SELECT body FROM idempotent_requests").all();
    expect(JSON.stringify(rows)).not.toContain(secret);
  });

  test.each([
    [{ "Idempotency-Key": "a", "X-Idempotency-Key": "b" }, 422],
    [{ "Idempotency-Key": "" }, 422],
    [{ "Idempotency-Key": "x".repeat(257) }, 422],
    [{ "Idempotency-Key": "x".repeat(256) }, 201],
  ])("%j → %i", async (headers, status) =>
    expect((await create("Header", headers as Record<string, string>)).status).toBe(status),
  );

  test("that was refused may be sent again, mended", async () => {
    const headers = { "Idempotency-Key": "mended" };
    expect((await create("", headers)).status).toBe(422);
    expect((await create("Mended", headers)).status).toBe(201);
  });

  test("at the same time as another is done once", async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => create("Together", { "Idempotency-Key": "k3" })));
    for (const answer of answers) {
      if (answer.status === 409) expect(Number(answer.headers.get("Retry-After"))).toBeGreaterThan(0);
      else expect(answer.status).toBe(201);
    }
    expect(answers.some((a) => a.status === 201)).toBe(true);
    expect(await count("Together")).toBe(1);
  });

  test("that died is taken over after a minute, and never done twice", async () => {
    const headers = { "Idempotency-Key": "k4" };
    const first = await create("Died", headers);
    const age = (ms: number) =>
      bindings.DB.prepare("UPDATE idempotent_requests SET status = NULL, body = ?1, created_at = ?2 WHERE key = 'k4'")
        .bind(first.body.id, Date.now() - ms)
        .run();
    await age(30_000);
    const running = await create("Died", headers);
    expect([running.status, Number(running.headers.get("Retry-After")) > 0]).toEqual([409, true]);
    await age(61_000);
    const taken = await create("Died", headers);
    expect([taken.status, taken.body]).toEqual([201, first.body]);
    expect(await count("Died")).toBe(1);
  });

  test("whose answer was a 503 goes on where it stopped", async () => {
    const COORDINATOR = {
      idFromName: () => ({}),
      get: () => ({ configure: () => Promise.reject(new Error("unreachable")) }),
    } as unknown as typeof bindings.COORDINATOR;
    const question = { key, body: { name: "Halfway", endpoint_url: ENDPOINT }, headers: { "Idempotency-Key": "k5" } };
    expect((await askWith({ COORDINATOR }, "POST", "/v1/jobs", question)).status).toBe(503);
    const again = await ask("POST", "/v1/jobs", question);
    expect([again.status, again.body.slug]).toEqual([201, "halfway"]);
    expect(await count("Halfway")).toBe(1);
  });

  test("is forgotten after a day", async () => {
    const headers = { "Idempotency-Key": "k6" };
    await create("Forgotten", headers);
    const age = (ms: number) =>
      bindings.DB.prepare("UPDATE idempotent_requests SET created_at = ? WHERE key = 'k6'")
        .bind(Date.now() - ms)
        .run();
    await age(24 * 3600_000 - 60_000);
    expect((await create("Forgotten", headers)).headers.get("Idempotency-Replayed")).toBe("true");
    await age(24 * 3600_000 + 60_000);
    expect((await create("Forgotten", headers)).headers.get("Idempotency-Replayed")).toBeNull();
    expect(await count("Forgotten")).toBe(2);
  });
});
