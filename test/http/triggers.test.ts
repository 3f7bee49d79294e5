import { beforeAll, describe, expect, test } from "vitest";
import { ask, newJob, newProject } from "./ask.ts";
import { linesOf, newWorld, numbered, read, readText, send, streamed, type World } from "./bulk-world.ts";

const MIB = 1_048_576;
const messageOf = (answer: { body: { error: { message: string } } }): string => answer.body.error.message;
const pathsOf = (answer: { body: { error: { details: { path: string }[] } } }): string[] =>
  answer.body.error.details.map((d) => d.path);

let world: World;
beforeAll(async () => {
  world = await newWorld();
});

describe("who may trigger", () => {
  test("no key, a wrong key, a key without the scope, another project's job, no job", async () => {
    const other = await newProject();
    const reader = await newProject(["jobs:read", "runs:read"]);
    const path = (job: string, kind: string): string => `/v1/jobs/${job}/${kind}`;
    const own = await newJob((await newProject()).key);
    for (const kind of ["trigger", "trigger-bulk", "trigger/bulk"]) {
      const body = kind === "trigger" ? "{}" : '{"items":[{}]}';
      expect((await send(null, path(own.id, kind), body, {})).status).toBe(401);
      expect((await send("sluice_wrong", path(own.id, kind), body, {})).status).toBe(401);
      expect((await send(reader.key, path(own.id, kind), body, {})).status).toBe(403);
      expect((await send(other.key, path(own.id, kind), body, {})).status).toBe(404);
      expect((await send(other.key, path("none", kind), body, {})).status).toBe(404);
    }
    expect((await send(world.key, "/v1/batch-operations/none/items?from_index=0", '{"items":[{}]}', {})).status).toBe(
      404,
    );
  });

  test("the admin names the project of a slug, in query or body", async () => {
    const { job } = world;
    expect((await ask("POST", `/v1/jobs/${job.slug}/trigger`, { body: {} })).status).toBe(422);
    const inBody = { body: { project_id: job.project_id } };
    expect((await ask("POST", `/v1/jobs/${job.slug}/trigger`, inBody)).status).toBe(201);
    expect((await ask("POST", `/v1/jobs/${job.slug}/trigger?project_id=${job.project_id}`, { body: {} })).status).toBe(
      201,
    );
    const bulk = { body: { items: [{}], project_id: job.project_id } };
    expect((await ask("POST", `/v1/jobs/${job.slug}/trigger-bulk`, bulk)).status).toBe(201);
    expect((await world.trigger({ project_id: "another" })).status).toBe(404);
  });

  test("a disabled or deleted job takes nothing", async () => {
    const disabled = await newWorld({ enabled: false });
    expect((await disabled.trigger({})).status).toBe(409);
    expect((await disabled.bulk({ items: [{}] })).status).toBe(409);
    expect((await disabled.lines("{}")).status).toBe(409);
    await ask("DELETE", `/v1/jobs/${disabled.job.id}`, { key: disabled.key });
    expect((await disabled.trigger({})).status).toBe(404);
    const batches = await read(disabled, "/v1/batch-operations");
    expect(batches.body.data).toEqual([]);
  });
});

describe("one run", () => {
  test("is created, and its payload stays byte for byte", async () => {
    const payload = '{ "n" : 12345678901234567890, "b":1,"a": [ "\\u00e9é\\ud800" ] }';
    const answer = await world.trigger(`{"payload":${payload},"priority":3}`);
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      status: "queued",
      payload_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      outcome: "created",
      duplicate_of: null,
      idempotency_hit: false,
    });
    const run = await readText(world, `/v1/runs/${answer.body.id}`);
    expect(run).toContain(`"payload":${payload}`);
    expect(JSON.parse(run)).toMatchObject({
      payload_hash: answer.body.payload_hash,
      priority: 3,
      triggered_by: "api",
      created_by: expect.stringMatching(/^apikey:/),
    });
  });

  test("its hash is that of the canonical payload", async () => {
    const hashes = await Promise.all(
      ['{"a":1,"b":[2]}', ' { "b":[2.0], "a":1e0 } ', '{"a":1,"b":[3]}'].map(
        async (payload) => (await world.trigger(`{"payload":${payload}}`)).body.payload_hash,
      ),
    );
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[0]).not.toBe(hashes[2]);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode('{"a":1,"b":[2]}'));
    expect(hashes[0]).toBe([...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join(""));
  });

  test("its key stands in the field, in the header, or in both alike", async () => {
    const first = await world.trigger({ idempotency_key: "one" });
    expect(first.status).toBe(201);
    for (const [body, headers] of [
      [{ idempotency_key: "one", payload: 5 }, {}],
      [{}, { "Idempotency-Key": "one" }],
      [{}, { "X-Idempotency-Key": "one" }],
      [{ idempotency_key: "one" }, { "Idempotency-Key": "one" }],
    ] as const) {
      const again = await world.trigger(body, headers);
      expect(again.status).toBe(200);
      expect(again.body).toMatchObject({
        id: first.body.id,
        duplicate_of: first.body.id,
        outcome: "duplicate",
        idempotency_hit: true,
        status: "queued",
      });
    }
    const differing = await world.trigger({ idempotency_key: "one" }, { "Idempotency-Key": "two" });
    expect(differing.status).toBe(422);
    expect(pathsOf(differing)).toEqual(["idempotency_key"]);
    expect((await world.trigger({}, { "Idempotency-Key": "a", "X-Idempotency-Key": "b" })).status).toBe(422);
    expect((await world.trigger({}, { "Idempotency-Key": "x".repeat(257) })).status).toBe(422);
  });

  test("dry_run says what would happen and does nothing", async () => {
    const fresh = await newWorld();
    const body = { dry_run: true, idempotency_key: "dry", payload: 1 };
    for (let i = 0; i < 2; i++) {
      const answer = await fresh.trigger(body);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({
        outcome: "created",
        duplicate_of: null,
        waiting_for: "paused",
        job_version: 1,
      });
    }
    const run = await fresh.trigger({ ...body, dry_run: false });
    expect(run.status).toBe(201);
    expect((await fresh.trigger(body)).body).toMatchObject({ outcome: "duplicate", duplicate_of: run.body.id });
    expect((await fresh.trigger({ dry_run: "yes" })).status).toBe(422);
    expect((await fresh.trigger({ dry_run: true, priority: 11 })).status).toBe(422);
  });

  test.each<[string, string, number]>([
    ["malformed", '{"payload":', 400],
    ["empty", "", 400],
    ["behind its end", "{} x", 400],
    ["no object", "[]", 422],
    ["a field twice", '{"payload":1,"payload":2}', 422],
    ["an unknown field", '{"playload":1}', 422],
    ["65 levels", `{"payload":${"[".repeat(65)}${"]".repeat(65)}}`, 422],
    ["64 levels", `{"payload":${"[".repeat(64)}${"]".repeat(64)}}`, 201],
    ["1 MiB", `{"payload":"${"x".repeat(MIB - 2)}"}`, 201],
    ["1 MiB and a byte", `{"payload":"${"x".repeat(MIB - 1)}"}`, 413],
    ["2 MiB", `{"payload":"${"x".repeat(2 * MIB)}"}`, 413],
    ["a byte order mark", '\ufeff{"payload":1}', 201],
  ])("%s", async (_, body, status) => {
    expect((await world.trigger(body)).status).toBe(status);
  });

  test("invalid UTF-8 is malformed, another content type is not understood", async () => {
    const bytes = Uint8Array.from([...new TextEncoder().encode('{"payload":"'), 0xc3, 0x28, 0x22, 0x7d]);
    const broken = await world.trigger(bytes);
    expect(broken.status).toBe(400);
    expect(messageOf(broken)).toMatch(/UTF-8/);
    expect((await world.trigger("{}", { "Content-Type": "text/plain" })).status).toBe(415);
    expect((await world.trigger("{}", { "Content-Type": "application/json; charset=utf-8" })).status).toBe(201);
    expect((await world.trigger("{}", { "Content-Encoding": "br" })).status).toBe(415);
  });

  test("is judged by the job: schema, limits, keys, versions, duplicates by payload", async () => {
    const strict = await newWorld({
      payload_schema: { type: "object", required: ["tenant"] },
      max_concurrency_per_key: 2,
      concurrency_key_from: "payload.tenant",
      rate_limit_keys: [{ name: "api", max: 1, window_secs: 1 }],
      dedup_window_secs: 60,
    });
    expect(pathsOf(await strict.trigger({ payload: 5 }))).toEqual(["concurrency_key"]);
    expect(pathsOf(await strict.trigger({ payload: 5, concurrency_key: "k" }))).toEqual(["payload"]);
    expect(pathsOf(await strict.trigger({ payload: { tenant: "t" }, rate_limit_keys: ["sms"] }))).toEqual([
      "rate_limit_keys",
    ]);
    const run = await strict.trigger('{"payload":{"tenant":"t","x":1.0}}');
    expect(run.status).toBe(201);
    expect((await read(strict, `/v1/runs/${run.body.id}`)).body.concurrency_key).toBe("t");
    const again = await strict.trigger('{"payload":{"x":1,"tenant":"t"}}');
    expect(again.body).toMatchObject({ outcome: "duplicate", id: run.body.id });
    // A key never matches a payload.
    expect((await strict.trigger({ payload: { x: 1, tenant: "t" }, idempotency_key: "k" })).status).toBe(201);

    const patched = await ask("PATCH", `/v1/jobs/${strict.job.id}`, {
      key: strict.key,
      body: { payload_schema: null },
    });
    expect(patched.status).toBe(200);
    expect((await strict.trigger({ payload: 6, concurrency_key: "k" })).status).toBe(201);
    expect(pathsOf(await strict.trigger({ payload: 7, concurrency_key: "k", version: 1 }))).toEqual(["payload"]);
    const { version_id } = strict.job;
    const old = await strict.trigger({ payload: { tenant: "o" }, version: version_id });
    expect((await read(strict, `/v1/runs/${old.body.id}`)).body).toMatchObject({
      job_version: 1,
      job_version_id: version_id,
    });
    for (const version of [9, "ver_0000000000"]) {
      expect(pathsOf(await strict.trigger({ concurrency_key: "k", version }))).toEqual(["version"]);
    }
  });
});

describe("a JSON bulk", () => {
  test("one bad item never spoils the others", async () => {
    const first = await world.trigger({ idempotency_key: "mixed" });
    const answer = await world.bulk({ items: [{ payload: 1 }, { idempotency_key: "mixed" }, { priority: "high" }] });
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      batch_id: expect.any(String),
      total: 3,
      created: 1,
      duplicates: 1,
      rejected: 1,
      results: [
        { index: 0, id: expect.any(String), status: "queued", outcome: "created", idempotency_hit: false },
        {
          index: 1,
          id: first.body.id,
          status: "queued",
          outcome: "duplicate",
          duplicate_of: first.body.id,
          idempotency_hit: true,
        },
        {
          index: 2,
          id: null,
          status: null,
          outcome: "rejected",
          error: {
            code: "validation_failed",
            message: "items[2].priority: must be an integer from 0 to 10",
            details: [{ path: "items[2].priority", message: "must be an integer from 0 to 10" }],
          },
        },
      ],
      results_truncated: false,
    });
    const batch = await read(world, `/v1/batch-operations/${answer.body.batch_id}`);
    expect(batch.body).toMatchObject({ item_count: 3, created_count: 1, duplicate_count: 1, rejected_count: 1 });
    expect(batch.body.accepted_at).not.toBe(null);
    const run = await read(world, `/v1/runs/${answer.body.results[0].id}`);
    expect(run.body).toMatchObject({ batch_id: answer.body.batch_id, batch_index: 0, triggered_by: "bulk" });
  });

  test("refusals that have much to say are kept in bounds, and every one says what is wrong", async () => {
    const fields = Object.fromEntries(Array.from({ length: 25 }, (_, i) => ['"é\u0001'.repeat(20) + i, 1]));
    const body = { items: Array.from({ length: 1000 }, () => fields) };
    const answer = await world.bulk(body, "", { "Idempotency-Key": "talkative" });
    expect(answer.body).toMatchObject({ total: 1000, rejected: 1000 });
    const { results } = answer.body;
    expect(results[0].error.details.length).toBe(20);
    for (const { error } of results) expect(error.message).toMatch(/is not a known field \(and 24 more\)$/);
    const again = await world.bulk(body, "", { "Idempotency-Key": "talkative" });
    expect(again.headers.get("Idempotency-Replayed")).toBe("true");
    expect(again.body).toEqual(answer.body);
  });

  test("its options may stand before or behind its items, and are those of the batch", async () => {
    const options =
      '"max_concurrency":7,"failure_threshold":{"percent":5,"min_items":10},"metadata":{"a":"b"},"webhook_url":"https://x.example/h","webhook_secret":"my-s3cret"';
    for (const body of [`{${options},"items":[{}]}`, `{"items":[{}],${options}}`]) {
      const answer = await world.bulk(body);
      expect(answer.status).toBe(201);
      const batch = await readText(world, `/v1/batch-operations/${answer.body.batch_id}`);
      expect(JSON.parse(batch)).toMatchObject({
        max_concurrency: 7,
        failure_threshold: { percent: 5, min_items: 10 },
        metadata: { a: "b" },
      });
      expect(batch).not.toContain("s3cret");
    }
  });

  test.each<[unknown, string[]]>([
    [{ itms: [{}] }, ["itms", "items"]],
    [{ items: {} }, ["items"]],
    [{ items: [] }, ["items"]],
    [{ items: [{}], max_concurency: 1, metadata: { a: 1 } }, ["metadata.a", "max_concurency"]],
    [
      { items: [{}], failure_threshold: { percent: 101, min_items: 0 } },
      ["failure_threshold.percent", "failure_threshold.min_items"],
    ],
    [{ items: [{}], webhook_url: "http://127.0.0.1:80/" }, ["webhook_url"]],
    [{ items: [{}], webhook_secret: "7 chars" }, ["webhook_secret"]],
    [{ items: [{}], webhook_secret: "whsec_not base64" }, ["webhook_secret"]],
    ['{"items":[{}],"items":[]}', ["items"]],
    ["5", ["body"]],
  ])("%j is refused as a whole", async (body, paths) => {
    const answer = await world.bulk(body);
    expect(answer.status).toBe(422);
    expect(pathsOf(answer).sort()).toEqual(paths.sort());
  });

  test("1 to 10,000 items: 10,000 are taken, 10,001 are not", async () => {
    const full = await world.bulk({ items: numbered(10_000) });
    expect(full.status).toBe(201);
    expect(full.body).toMatchObject({ total: 10_000, created: 10_000, results: null, results_truncated: true });
    const beyond = await world.bulk({ items: numbered(10_001) });
    expect(beyond.status).toBe(422);
    expect(messageOf(beyond)).toMatch(/10001 items/);
  });

  test("results are listed up to 1,000 items", async () => {
    const thousand = await world.bulk({ items: numbered(1000) });
    expect(thousand.body.results.map((r: { index: number }) => r.index)).toEqual(numbered(1000).map((_, i) => i));
    expect(thousand.body.results_truncated).toBe(false);
    expect((await world.bulk({ items: numbered(1001) })).body).toMatchObject({
      results: null,
      results_truncated: true,
    });
  });

  test("beyond 16 MiB it is too large", async () => {
    const large = `{"items":[${Array.from({ length: 17 }, () => `{"payload":"${"x".repeat(MIB - 20)}"}`).join(",")}]}`;
    const answer = await world.bulk(large);
    expect(answer.status).toBe(413);
    expect(answer.body.error.code).toBe("payload_too_large");
  });

  test("cut off at any byte it is malformed, and nothing is created", async () => {
    const fresh = await newWorld();
    const body =
      '{"metadata":{"a":"b"},"items":[{"payload":{"n":[1.5e3,true,"\\u00e9é"]}},{"priority":2}],"max_concurrency":3}';
    const bytes = new TextEncoder().encode(body);
    for (let length = 0; length < bytes.length; length++) {
      const answer = await fresh.bulk(bytes.slice(0, length));
      expect(answer.status, `at byte ${length}`).toBe(400);
    }
    const broken = await fresh.bulk(streamed([body.slice(0, 40)], { breaksOff: true }));
    expect(broken.status).toBe(400);
    const whole = await fresh.bulk(bytes);
    expect(whole.status).toBe(201);
    const { results } = whole.body;
    // Ids count up from the ledger's first number: nothing was made before.
    expect((await read(fresh, `/v1/jobs/${fresh.job.id}/health`)).body.waiting).toBe(2);
    expect(results.length).toBe(2);
  });

  test("atomic: any bad item is a 422 that lists them, and nothing is created", async () => {
    const fresh = await newWorld();
    const items = numbered(700).map((item, i) => (i % 3 === 0 ? { ...item, priority: 99 } : item));
    const bad = await fresh.bulk({ items }, "?atomic=true");
    expect(bad.status).toBe(422);
    expect(bad.body.rejected).toBe(234);
    expect(messageOf(bad)).toMatch(/^234 /);
    expect(pathsOf(bad)).toEqual(Array.from({ length: 100 }, (_, i) => `items[${3 * i}].priority`));
    expect((await read(fresh, `/v1/jobs/${fresh.job.id}/health`)).body.waiting).toBe(0);
    const good = await fresh.bulk({ items: numbered(700) }, "?atomic=true");
    expect(good.body).toMatchObject({ created: 700, rejected: 0 });
    expect((await fresh.lines(linesOf(numbered(1)), "?atomic=true")).status).toBe(422);
  });

  test("dry_run: the same counts and outcomes, and nothing is created", async () => {
    const fresh = await newWorld();
    const items = [
      ...numbered(600).map((item, i) => ({ ...item, idempotency_key: `k${i % 550}` })),
      { priority: 99 },
      { payload: 1 },
    ];
    const rehearsals = [
      await fresh.bulk({ items, dry_run: true }),
      await fresh.bulk({ items }, "?dry_run=true"),
      await fresh.lines(linesOf(items), "?dry_run=true"),
    ];
    const real = await fresh.bulk({ items });
    const outcomes = (answer: World["job"]): string[] => answer.body.results.map((r: { outcome: string }) => r.outcome);
    for (const rehearsal of rehearsals) {
      expect(rehearsal.status).toBe(200);
      expect(rehearsal.body).toMatchObject({ batch_id: null, total: 602, created: 551, duplicates: 50, rejected: 1 });
      expect(outcomes(rehearsal)).toEqual(outcomes(real));
      expect(rehearsal.body.results.every((r: { id: unknown }) => r.id === null)).toBe(true);
    }
    expect(real.status).toBe(201);
    expect((await read(fresh, "/v1/batch-operations")).body.data.length).toBeLessThanOrEqual(1);
    expect((await fresh.bulk({ items, dry_run: true }, "?open=true")).status).toBe(422);
    expect((await fresh.bulk({ items: [{}], dry_run: true }, "?atomic=true")).status).toBe(200);
    expect((await fresh.bulk({ items: [{ x: 1 }], dry_run: true }, "?atomic=true")).status).toBe(422);
  });

  test("duplicates of runs that have ended show their status, wherever it is kept", async () => {
    const fresh = await newWorld();
    const first = await fresh.trigger({ idempotency_key: "ended" });
    const canceled = await send(fresh.key, `/v1/runs/${first.body.id}/cancel`, "{}", {});
    expect(canceled.status).toBe(200);
    const copied = async (): Promise<string[]> =>
      (await read(fresh, `/v1/runs?status=canceled`)).body.data.map((run: { id: string }) => run.id);
    await expect.poll(copied, { timeout: 10_000 }).toEqual([first.body.id]);
    const answer = await fresh.bulk({ items: [{ idempotency_key: "ended" }] });
    expect(answer.body.results[0]).toMatchObject({ outcome: "duplicate", status: "canceled", id: first.body.id });
    expect((await fresh.trigger({ idempotency_key: "ended" })).body.status).toBe("canceled");
  });
});

describe("an NDJSON bulk", () => {
  test("lines of every kind: blank, CRLF, a mark, bad, too long, of bad encoding, without a newline at the end", async () => {
    const encoder = new TextEncoder();
    const body = Uint8Array.from([
      ...encoder.encode('\ufeff{"payload":"first"}\r\n\n  \r\n{bad}\n'),
      ...encoder.encode(`{"payload":"${"x".repeat(2 * MIB)}"}\n`),
      ...encoder.encode('{"payload":"'),
      ...[0xff, 0x22, 0x7d, 0x0a],
      ...encoder.encode('{"payload":"last"}'),
    ]);
    const answer = await world.lines(body);
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({ total: 5, created: 2, rejected: 3 });
    const { results } = answer.body;
    expect(results.map((r: { outcome: string }) => r.outcome)).toEqual([
      ...["created", "rejected", "rejected", "rejected", "created"],
    ]);
    expect(results.slice(1, 4).map((r: World["job"]) => r.error.code)).toEqual([
      ...["bad_request", "payload_too_large", "bad_request"],
    ]);
    expect(results[1].error.message).toMatch(/^items\[1\]: is not well-formed JSON/);
    expect(results[3].error.message).toMatch(/UTF-8/);
    expect((await read(world, `/v1/runs/${results[4].id}`)).body.payload).toBe("last");
  });

  test.each(["application/x-ndjson", "application/ndjson", "application/jsonl; charset=utf-8"])(
    "as %s",
    async (type) => {
      expect((await world.lines(linesOf(numbered(2)), "", { "Content-Type": type })).body).toMatchObject({
        created: 2,
      });
    },
  );

  test("its options stand in the query; a secret does not, and JSON says them in its body", async () => {
    const query = (options: Record<string, string>): string => `?${new URLSearchParams(options)}`;
    const answer = await world.lines(
      "{}",
      query({ max_concurrency: "3", failure_threshold: '{"percent":1,"min_items":2}', metadata: '{"a":"b"}' }),
    );
    expect(answer.status).toBe(201);
    expect((await read(world, `/v1/batch-operations/${answer.body.batch_id}`)).body).toMatchObject({
      max_concurrency: 3,
      failure_threshold: { percent: 1, min_items: 2 },
      metadata: { a: "b" },
    });
    for (const [name, value] of [
      ["webhook_secret", "s"],
      ["metadata", "{"],
      ["metadata", '{"a":1}'],
      ["failure_threshold", '{"percent":1}'],
      ["max_concurrency", "0"],
      ["max_concurency", "1"],
      ["open", "yes"],
    ] as const) {
      const refused = await world.lines("{}", query({ [name]: value }));
      expect(refused.status, name).toBe(422);
      expect(pathsOf(refused)[0]).toMatch(new RegExp(`^${name}`));
    }
    expect(pathsOf(await world.bulk({ items: [{}] }, "?max_concurrency=3"))).toEqual(["max_concurrency"]);
  });

  test("empty bodies hold no item", async () => {
    for (const body of ["", "\n\n", " \r\n"]) expect((await world.lines(body)).status).toBe(422);
  });

  test("a change of the job while it is read: what comes later is judged by the newer job", async () => {
    const fresh = await newWorld();
    let changed = false;
    const between = async (): Promise<void> => {
      if (changed) return;
      changed = true;
      const change = { payload_schema: { properties: { n: { maximum: 10 } } } };
      await ask("PATCH", `/v1/jobs/${fresh.job.id}`, { key: fresh.key, body: change });
    };
    const parts = [`${linesOf(numbered(1501))}\n`, `${linesOf(numbered(600))}\n`];
    const answer = await fresh.lines(streamed(parts, { between }));
    expect(answer.status).toBe(201);
    // Two chunks were taken before the change and the third was under way. Of the second part those above 10 are refused.
    expect(answer.body.total).toBe(2101);
    expect([1000 + 11, 1500 + 11]).toContain(answer.body.created);
    expect(answer.body.rejected).toBe(2101 - answer.body.created);
  });

  test("the latest items cannot be known as a whole where the connection may be lost: half a line is a broken body", async () => {
    const fresh = await newWorld();
    const cut = await fresh.lines(streamed([`${linesOf(numbered(3))}\n{"payload":`]));
    expect(cut.status).toBe(400);
    expect(messageOf(cut)).toMatch(/broke off/);
    const bad = await fresh.lines(streamed([`${linesOf(numbered(3))}\n{"payload":}`]));
    expect(bad.body).toMatchObject({ total: 4, rejected: 1 });
  });
});
