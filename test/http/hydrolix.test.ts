import { describe, expect, inject, test, vi } from "vitest";
import { type ImportWorld, ndjson, newImportWorld, numbered } from "../imports/world.ts";
import { type Answer, ask, askWith, bindings, newJob, newProject, send } from "./ask.ts";

/** Hydrolix's face (contract 11), asked as its command-line client asks. */

interface World extends ImportWorld {
  org: string;
  slug: string;
  token: string;
  /** Below `/config/v1`. */
  use(method: string, path: string, body?: unknown): Promise<Answer>;
  /** `project.table` */
  table: string;
  jobs: string;
  create(fields?: Record<string, unknown>, settings?: Record<string, unknown>): Promise<Answer>;
  done(uuid: string, status?: string): Promise<Answer["body"]>;
}

async function newWorld(): Promise<World> {
  const world = await newImportWorld();
  const { slug } = (await ask("GET", `/v1/projects/${world.projectId}`, { key: world.key })).body;
  const login = await ask("POST", "/config/v1/login/", { key: null, body: { username: slug, password: world.key } });
  const token = login.body.auth_token.access_token;
  const use = (method: string, path: string, body?: unknown): Promise<Answer> =>
    ask(method, `/config/v1${path}`, { key: token, body });
  const jobs = `/orgs/${world.projectId}/jobs/batch`;
  const table = `${slug.replaceAll("-", "_")}.${world.job.slug.replaceAll("-", "_")}`;
  return {
    ...world,
    org: world.projectId,
    slug,
    token,
    use,
    table,
    jobs,
    create: (fields, settings) =>
      use("POST", `${jobs}/`, {
        name: "My Batch job",
        description: "A Description of my job",
        type: "batch_import",
        settings: {
          source: { table, type: "batch", subtype: "aws s3", settings: { url: world.url } },
          ...settings,
        },
        ...fields,
      }),
    done: (uuid, status = "done") =>
      vi.waitFor(
        async () => {
          const { body } = await use("GET", `${jobs}/${uuid}/status/`);
          if (body.status !== status || body.details.status_detail.tasks.LIST.RUNNING)
            throw new Error(JSON.stringify(body));
          return body;
        },
        { timeout: 25_000, interval: 20 },
      ),
  };
}

describe("login", () => {
  test("gives a token that is not the key, and the org", async () => {
    const { key, id, slug } = await newProject();
    const { status, body } = await ask("POST", "/config/v1/login", {
      key: null,
      body: { username: slug.replaceAll("-", "_"), password: key },
    });
    expect([status, body]).toEqual([
      200,
      {
        auth_token: { access_token: expect.any(String), expires_in: 3600, token_type: "bearer" },
        orgs: [{ uuid: id, name: expect.any(String) }],
      },
    ]);
    const token = body.auth_token.access_token;
    expect(token).not.toContain(key);
    expect((await ask("GET", `/config/v1/orgs/${id}/jobs/batch/`, { key: token })).body).toEqual([]);
  });

  test.each([
    ["a wrong password", { username: "SLUG", password: `sluice_${"0".repeat(64)}` }],
    ["another project's key", { username: "another", password: "KEY" }],
    ["the admin token", { username: "SLUG", password: "test-admin-token-0123456789abcdef0123456789" }],
  ])("refuses %s with a detail", async (_, sent) => {
    const { key, slug } = await newProject();
    const body = { username: sent.username.replace("SLUG", slug), password: sent.password.replace("KEY", key) };
    const answer = await ask("POST", "/config/v1/login", { key: null, body });
    expect([answer.status, answer.body]).toEqual([401, { detail: "the user name or the password is not valid" }]);
  });

  test("a token ends with its hour, with its key, and when a letter of it is changed", async () => {
    const { key, id, slug } = await newProject();
    const login = await ask("POST", "/config/v1/login", { key: null, body: { username: slug, password: key } });
    const token: string = login.body.auth_token.access_token;
    const asked = (bearer: string) => ask("GET", `/config/v1/orgs/${id}/projects`, { key: bearer });
    expect((await asked(token)).status).toBe(200);
    const [head, keyId, expiry, mac] = token.split(".");
    expect((await asked([head, keyId, Number(expiry) + 1, mac].join("."))).status).toBe(401);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 3_600_000 });
    try {
      expect((await asked(token)).status).toBe(401);
    } finally {
      vi.useRealTimers();
    }
    const admin = await ask("DELETE", `/v1/api-keys/${keyId}`, { key: key });
    expect(admin.status).toBe(204);
    expect((await asked(token)).status).toBe(401);
  });
});

describe("a batch job", () => {
  test("is the seed's object, whole, from its creation to its end", async () => {
    const world = await newWorld();
    await world.put("a.ndjson", ndjson(numbered(3)));
    await world.put("b.ndjson", ndjson(numbered(2, 3)));
    const created = await world.create();
    expect(created.status).toBe(201);
    const settings = {
      max_active_partitions: 576,
      max_rows_per_partition: 33554432,
      max_minutes_per_partition: 15,
      input_concurrency: 1,
      input_aggregation: 1536000000,
      max_files: 0,
      dry_run: false,
    };
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(created.body).toEqual({
      name: "My Batch job",
      description: "A Description of my job",
      uuid: expect.any(String),
      created: time,
      modified: time,
      settings: {
        ...settings,
        regex_filter: "",
        source: {
          type: "batch",
          subtype: "aws s3",
          transform: null,
          table: world.table,
          settings: { url: world.url, endpoint: null, region: "us-east-1", credential_id: null },
        },
      },
      status: "ready",
      type: "batch_import",
      org: world.org,
      details: {
        errors: [],
        job_id: expect.any(String),
        duration_ms: 0,
        effective_settings: { ...settings, max_rows_per_partition: 100_000 },
        status_detail: { tasks: { LIST: { READY: 1 }, INDEX: {} }, estimated: true, percent_complete: 0 },
      },
    });
    const done = await world.done(created.body.uuid);
    expect(done.details).toMatchObject({
      errors: [],
      status_detail: { tasks: { LIST: { DONE: 1 }, INDEX: { DONE: 1 } }, estimated: false, percent_complete: 1 },
    });
    // The seed's own way to ask.
    const [asked, ...more] = (await world.use("POST", `${world.jobs}/${created.body.uuid}/status`)).body;
    expect([asked, more]).toEqual([done, []]);

    // What this face has started the native one shows; the job received the rows, by partition.
    const record = await world.get(created.body.uuid);
    expect(record).toMatchObject({ name: "My Batch job", delivery: "partition", status: "done" });
    const payloads = await world.payloads(record);
    expect(payloads.map((payload) => payload.rows.length)).toEqual([3, 2]);
  });

  test("every setting is honoured, or its effective value shown", async () => {
    const world = await newWorld();
    for (const name of ["a.ndjson", "b.ndjson", "c.txt"]) await world.put(name, ndjson(numbered(5)));
    const transforms = `/orgs/${world.org}/projects/${world.slug}/tables/${world.job.slug}/transforms`;
    await world.use("POST", transforms, {
      name: "mine",
      type: "json",
      settings: { output_columns: [{ name: "m", datatype: { type: "int32", source: { from_input_field: "n" } } }] },
    });
    const { body } = await world.create(
      {},
      {
        max_rows_per_partition: 2,
        max_files: 1,
        input_concurrency: 1000,
        max_active_partitions: 7,
        regex_filter: "\\.ndjson$",
        source: { table: world.table, transform: "mine", settings: { url: world.url } },
      },
    );
    expect(body.details.effective_settings).toMatchObject({ input_concurrency: 32, max_active_partitions: 7 });
    await world.done(body.uuid);
    const record = await world.get(body.uuid);
    expect((await world.payloads(record)).map((p) => p.rows)).toEqual([
      [{ m: 0 }, { m: 1 }],
      [{ m: 2 }, { m: 3 }],
      [{ m: 4 }],
    ]);
    const batch = await ask("GET", `/v1/batch-operations/${record.batch_id}`, { key: world.key });
    expect(batch.body.max_concurrency).toBe(7);

    const dry = await world.create({ name: "dry" }, { dry_run: true });
    await world.done(dry.body.uuid);
    expect(await world.get(dry.body.uuid)).toMatchObject({
      batch_id: null,
      files: { total: 3, done: 2, skipped: 1 },
      rows: { delivered: 10 },
    });
  });

  test("says what it skipped, and what it rejected", async () => {
    const world = await newWorld();
    await world.put("a.ndjson", `{"n":1}\n{"n":\n`);
    const first = await world.done((await world.create()).body.uuid);
    expect(first.details.errors).toEqual(["1 of 2 rows were rejected"]);
    const again = await world.done((await world.create({ name: "again" })).body.uuid);
    expect(again.details.errors).toEqual([expect.stringContaining("1 of 1 files were skipped")]);
    const none = await world.create(
      { name: "none" },
      { source: { table: world.table, settings: { url: `${world.url}none/` } } },
    );
    expect((await world.done(none.body.uuid)).details.errors).toEqual(["no object matched"]);
  });

  test("is found by its name in a bare list, which is the newest first", async () => {
    const world = await newWorld();
    for (const name of ["one", "two"]) await world.create({ name });
    for (const path of [world.jobs, `${world.jobs}/`]) {
      const { status, body } = await world.use("GET", path);
      expect([status, body.map((job: { name: string }) => job.name)]).toEqual([200, ["two", "one"]]);
    }
    const taken = await world.create({ name: "one" });
    expect([taken.status, taken.body]).toEqual([409, { detail: "name: is taken" }]);
    const other = await newWorld();
    expect((await other.create({ name: "one" })).status).toBe(201);
  });

  test("that is refused leaves its name free", async () => {
    const world = await newWorld();
    expect((await world.create({ name: "one" }, { regex_filter: "(" })).status).toBe(422);
    expect((await world.create({ name: "one" })).status).toBe(201);
    // Its import was deleted by the other face a while ago.
    const { body } = await world.use("GET", world.jobs);
    await ask("DELETE", `/v1/imports/${body[0].uuid}`, { key: world.key });
    expect((await world.use("GET", world.jobs)).body).toEqual([]);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 61_000 });
    try {
      expect((await world.create({ name: "one" })).status).toBe(201);
    } finally {
      vi.useRealTimers();
    }
  });

  test("a repeated create makes one", async () => {
    const world = await newWorld();
    const body = { name: "one", settings: { source: { table: world.table, settings: { url: world.url } } } };
    const sent = () =>
      ask("POST", `/config/v1${world.jobs}/`, { key: world.token, body, headers: { "Idempotency-Key": "k" } });
    const [first, second] = [await sent(), await sent()];
    expect(second.headers.get("Idempotency-Replayed")).toBe("true");
    expect([second.status, second.body.uuid]).toEqual([201, first.body.uuid]);
  });

  test("changed by the settings command: whole, then in part", async () => {
    const world = await newWorld();
    await world.put("a.ndjson", ndjson(numbered(3)));
    const { body: job } = await world.create();
    const place = `${world.jobs}/${job.uuid}`;
    // The client sends back what it was shown, with one value changed.
    const whole = await world.use("PUT", place, { ...job, settings: { ...job.settings, max_active_partitions: 9 } });
    expect([whole.status, whole.body.settings.max_active_partitions]).toEqual([200, 9]);
    const batch = await ask("GET", `/v1/batch-operations/${job.details.job_id}`, { key: world.key });
    expect(batch.body.max_concurrency).toBe(9);
    const part = await world.use("PATCH", `${place}/`, { name: "renamed", description: null });
    expect([part.status, part.body.name, part.body.description]).toEqual([200, "renamed", null]);
    expect((await world.use("GET", world.jobs)).body[0].name).toBe("renamed");
    expect((await world.get(job.uuid)).name).toBe("renamed");
    for (const [settings, field] of [
      [{ dry_run: true }, "settings.dry_run"],
      [{ max_files: 3 }, "settings.max_files"],
      [{ regex_filter: "x" }, "settings.regex_filter"],
      [{ source: { settings: { url: "s3://other" } } }, "settings.source.settings.url"],
    ] as const) {
      const refused = await world.use("PATCH", place, { settings });
      expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining(field)]);
    }
    await world.create({ name: "taken" });
    expect((await world.use("PATCH", place, { name: "taken" })).status).toBe(409);
  });

  test("a change that broke off half way is made good by whoever looks next, or repeats it", async () => {
    const world = await newWorld();
    await world.put("a.ndjson", ndjson(numbered(1)));
    const { body: job } = await world.create();
    const place = `${world.jobs}/${job.uuid}`;
    const { DB } = bindings;
    await DB.prepare("UPDATE ingest_jobs SET name = ? WHERE import_id = ?").bind("half", job.uuid).run();
    expect((await world.use("GET", `${place}/status`)).body.name).toBe("half");
    expect((await world.get(job.uuid)).name).toBe("half");
    // The import has heard of the new width, its batch has not.
    const settings = { max_active_partitions: 7 };
    await world.use("PATCH", place, { settings });
    const batch = `/v1/batch-operations/${job.details.job_id}`;
    await ask("PATCH", batch, { key: world.key, body: { max_concurrency: 500 } });
    expect((await world.use("PATCH", place, { settings })).status).toBe(200);
    expect((await ask("GET", batch, { key: world.key })).body.max_concurrency).toBe(7);
  });

  test("canceled, with and without a body; it stays canceled, and is not taken up again", async () => {
    const world = await newWorld();
    await world.put("a.ndjson", ndjson(numbered(1)));
    const { body: job } = await world.create();
    const canceled = await world.use("POST", `${world.jobs}/${job.uuid}/cancel`);
    expect([canceled.status, canceled.body.status]).toEqual([200, "canceled"]);
    const again = await world.use("POST", `${world.jobs}/${job.uuid}/cancel/`, {});
    expect([again.status, again.body.status]).toEqual([200, "canceled"]);
    const retried = await world.use("POST", `${world.jobs}/${job.uuid}/retry`);
    expect([retried.status, retried.body]).toEqual([409, { detail: expect.any(String) }]);
  });

  test("that failed says why, and is retried: only what failed", async () => {
    const world = await newWorld();
    await world.put("a.ndjson", ndjson(numbered(2)));
    await world.put("b.gz", new Uint8Array([0x1f, 0x8b, 8, 0, 0]));
    const { body: job } = await world.create();
    const first = await world.done(job.uuid);
    expect(first.details.errors).toContainEqual(expect.stringContaining("1 of 2 files failed"));
    await world.put("b.gz", ndjson(numbered(1, 2)));
    const retried = await world.use("POST", `${world.jobs}/${job.uuid}/retry/`);
    expect([retried.status, retried.body.uuid]).toEqual([200, job.uuid]);
    await world.done(job.uuid);
    const record = await world.get(job.uuid);
    expect(record.files).toMatchObject({ total: 2, done: 2, failed: 0 });
    expect((await world.payloads(record)).flatMap((p) => p.rows)).toEqual(numbered(3));
  });

  test("deleted: 204, and gone; a purge leaves none", async () => {
    const world = await newWorld();
    const { body: job } = await world.create();
    const deleted = await world.use("DELETE", `${world.jobs}/${job.uuid}/`);
    expect([deleted.status, deleted.body]).toEqual([204, ""]);
    expect((await world.use("GET", `${world.jobs}/${job.uuid}`)).status).toBe(404);
    for (const name of ["one", "two", "three"]) await world.create({ name });
    const purged = await world.use("POST", `/orgs/${world.org}/purgejobs/`);
    expect([purged.status, purged.body, (await world.use("GET", world.jobs)).body]).toEqual([200, { purged: 3 }, []]);
  });

  test("its fields are described", async () => {
    const world = await newWorld();
    for (const path of [world.jobs, `${world.jobs}/`]) {
      const { status, body } = await world.use("OPTIONS", path);
      expect(status).toBe(200);
      const { POST } = body.actions;
      expect(POST.name).toEqual({ type: "string", required: true, read_only: false });
      expect(POST.uuid.read_only).toBe(true);
      expect(POST.settings.children.max_files).toEqual({ type: "integer", required: false, read_only: false });
      expect(POST.settings.children.source.children.settings.children.url.required).toBe(true);
    }
  });

  test.each([
    [{ name: "" }, {}, "name"],
    [{ name: 5 }, {}, "name"],
    [{ typ: "batch_import" }, {}, "typ: is not a known field; did you mean type?"],
    [{ type: "stream" }, {}, "type: expected batch_import"],
    [{}, { max_rows_per_partition: 0 }, "settings.max_rows_per_partition"],
    [{}, { regex_filter: "(" }, "settings.regex_filter"],
    [{}, { max_row_per_partition: 5 }, "did you mean max_rows_per_partition?"],
    [{}, { source: { table: "x", settings: { url: "s3://bucket" } } }, "settings.source.table: expected project.table"],
    [{}, { source: { table: "other.x", settings: { url: "s3://bucket" } } }, "settings.source.table: names no project"],
    [
      {},
      { source: { table: "TABLE.none", settings: { url: "s3://bucket" } } },
      "settings.source.table: names no table",
    ],
    [{}, { source: { table: "MINE", settings: { url: "gs://bucket" } } }, "settings.source.settings.url"],
    [
      {},
      { source: { table: "MINE", transform: "none", settings: { url: "s3://bucket" } } },
      "settings.source.transform",
    ],
    [
      {},
      { source: { table: "MINE", settings: { url: "s3://bucket", endpoint: "http://169.254.169.254" } } },
      "settings.source.settings.endpoint",
    ],
    [
      {},
      {
        source: {
          table: "MINE",
          settings: { url: "s3://bucket", credential_id: "019c2f6e-7d80-7a3b-9c55-0000000002a1" },
        },
      },
      "settings.source.settings.credential_id",
    ],
  ])("%j %j is refused by name", async (fields, settings, named) => {
    const world = await newWorld();
    const text = JSON.stringify(settings).replace("TABLE", world.slug).replace("MINE", world.table);
    const { status, body } = await world.create(fields, JSON.parse(text));
    expect([status, Object.keys(body), body.detail]).toEqual([422, ["detail"], expect.stringContaining(named)]);
  });
});

describe("what a config client asks", () => {
  test("projects, tables and transforms, with and without a slash", async () => {
    const world = await newWorld();
    const [project] = (await world.use("GET", `/orgs/${world.org}/projects/`)).body;
    expect(project).toMatchObject({ uuid: world.org, name: world.slug });
    for (const name of [project.uuid, project.name, project.name.replaceAll("-", "_")]) {
      const [table] = (await world.use("GET", `/orgs/${world.org}/projects/${name}/tables`)).body;
      expect(table).toMatchObject({ uuid: world.job.id, name: world.job.slug, project: world.org });
    }
    const transforms = `/orgs/${world.org}/projects/${project.uuid}/tables/${world.job.id}/transforms`;
    expect((await world.use("GET", transforms)).body).toEqual([]);
    // As its own command-line client's examples have it.
    const sent = {
      name: "mytransform",
      description: "description",
      type: "csv",
      table: world.job.id,
      settings: {
        is_default: true,
        sql_transform: null,
        compression: "gzip",
        null_values: [],
        format_details: { skip_head: 1, delimiter: ",", windows_ending: false },
        output_columns: [
          {
            name: "at",
            datatype: {
              type: "datetime",
              primary: true,
              format: "2006-01-02",
              resolution: "seconds",
              index: false,
              script: null,
            },
          },
          { name: "n", datatype: { type: "uint32", index: true, source: { from_input_index: 1 } } },
        ],
      },
    };
    const made = await world.use("POST", `${transforms}/`, sent);
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      name: "mytransform",
      type: "csv",
      settings: {
        is_default: true,
        compression: "gzip",
        format_details: { skip_head: 1, delimiter: "," },
        output_columns: [
          { name: "at", datatype: { type: "datetime", primary: true, format: "2006-01-02" } },
          { name: "n", datatype: { type: "uint32", source: { from_input_index: 1 } } },
        ],
      },
    });
    expect((await world.use("GET", transforms)).body).toEqual([made.body]);
    // What its settings command asks first; it shows what is no nested object as it stands.
    for (const slash of ["", "/"]) {
      const { status, body } = await world.use("OPTIONS", transforms + slash);
      expect([status, body.actions.POST.uuid.read_only]).toEqual([200, true]);
      const { children } = body.actions.POST.settings;
      expect(Object.keys(made.body.settings).filter((name) => !(name in children))).toEqual([]);
      expect(children.is_default).toEqual({ type: "boolean", required: false, read_only: false });
    }
    const one = `${transforms}/${made.body.uuid}`;
    expect((await world.use("PUT", one, made.body)).body.settings).toEqual(made.body.settings);
    // Where its PUT is refused the client sends the one value, and shows what is said to that.
    const delimited = await world.use("PATCH", one, { settings: { format_details: { delimiter: ";" } } });
    expect(delimited.body).toMatchObject({
      description: "description",
      settings: { ...made.body.settings, format_details: { skip_head: 1, delimiter: ";" } },
    });
    const refused = await world.use("PATCH", one, { settings: { output_columns: [{ name: "n" }] } });
    expect([refused.status, refused.body.detail]).toEqual([422, expect.stringContaining("output_columns[0].datatype")]);
    expect((await world.use("PATCH", one, { name: "other" })).status).toBe(422);
    expect((await world.use("DELETE", `${transforms}/mytransform/`)).status).toBe(204);
    expect((await world.use("GET", one)).status).toBe(404);
  });

  test.each([
    [{ sql_transform: "SELECT 1" }, "settings.sql_transform"],
    [{ output_columns: [{ name: "a", datatype: { type: "string", script: "row.x" } }] }, "datatype.script"],
    [{ output_columns: [{ name: "a", datatype: { type: "int128" } }] }, "settings.output_columns[0].datatype.type"],
    [{ format_details: { flattening: { active: true } } }, "settings.format_details.flattening"],
    [{ compression: "bzip2" }, "settings.compression"],
  ])("a transform with %j is refused by name", async (settings, named) => {
    const world = await newWorld();
    const transforms = `/orgs/${world.org}/projects/${world.slug}/tables/${world.job.slug}/transforms`;
    const { status, body } = await world.use("POST", transforms, { name: "t", type: "json", settings });
    expect([status, body.detail]).toEqual([422, expect.stringContaining(named)]);
    const tried = await world.use("POST", "/validator/", { transform: { type: "json", settings }, data: [] });
    expect([tried.status, tried.body.detail]).toEqual([422, expect.stringMatching(/^transform\.settings\./)]);
  });

  test("a transform is tried on rows", async () => {
    const world = await newWorld();
    const { status, body } = await world.use("POST", "/validator", {
      transform: {
        name: "t",
        type: "json",
        settings: { is_default: false, output_columns: [{ name: "n", datatype: { type: "int8" } }] },
      },
      data: ['{"n": 1}', '{"n": 1000}'],
    });
    expect([status, body.rows, body.errors.length]).toEqual([200, [{ n: 1 }], 1]);
  });

  test("the default transform is the one that was made so last", async () => {
    const world = await newWorld();
    const transforms = `/orgs/${world.org}/projects/${world.slug}/tables/${world.job.slug}/transforms`;
    const make = (name: string, is_default: boolean) =>
      world.use("POST", transforms, { name, description: `of ${name}`, type: "json", settings: { is_default } });
    const shown = async () =>
      (await world.use("GET", transforms)).body.map(
        (row: { name: string; description: string; settings: { is_default: boolean } }) => [
          row.name,
          row.description,
          row.settings.is_default,
        ],
      );
    await make("a", false);
    expect(await shown()).toEqual([["a", "of a", true]]);
    await make("b", true);
    await make("c", false);
    expect(await shown()).toEqual([
      ["c", "of c", false],
      ["b", "of b", true],
      ["a", "of a", false],
    ]);
    const { body } = await world.use("GET", `${transforms}/a`);
    await world.use("PUT", `${transforms}/a`, { ...body, settings: { ...body.settings, is_default: true } });
    expect(await shown()).toEqual([
      ["c", "of c", false],
      ["b", "of b", false],
      ["a", "of a", true],
    ]);
  });

  test("tables have transforms of their own, also of one name, and share those of the project", async () => {
    const world = await newWorld();
    const second = await newJob(world.key, { slug: "second-table", endpoint_url: world.job.endpoint_url });
    await ask("POST", `/v1/jobs/${second.id}/pause`, { key: world.key });
    await world.put("a.ndjson", ndjson([{ n: 1, m: 2, o: 3 }]));
    const of = (table: { id: string }) => `/orgs/${world.org}/projects/${world.slug}/tables/${table.id}/transforms`;
    const keeping = (column: string, is_default = false) => ({
      ...{ name: "mine", type: "json" },
      settings: { is_default, output_columns: [{ name: column, datatype: { type: "int8" } }] },
    });
    const native = (query: string) => ask("GET", `/v1/transforms/mine${query}`, { key: world.key });
    const shown = async (table: { id: string }) =>
      (await world.use("GET", of(table))).body.map(
        (row: { name: string; settings: { is_default: boolean; output_columns: { name: string }[] } }) => [
          row.name,
          row.settings.output_columns[0]?.name,
          row.settings.is_default,
        ],
      );

    expect((await world.use("POST", of(world.job), keeping("n", true))).status).toBe(201);
    expect((await native("")).body).toMatchObject({ job_id: world.job.id });
    expect((await world.use("POST", of(second), keeping("m", true))).status).toBe(201);
    expect((await world.use("POST", of(second), keeping("m"))).status).toBe(409);
    expect([await shown(world.job), await shown(second)]).toEqual([[["mine", "n", true]], [["mine", "m", true]]]);
    const ambiguous = await native("");
    expect([ambiguous.status, ambiguous.body.error.message]).toEqual([409, expect.stringContaining(second.id)]);
    expect((await native(`?job_id=${second.id}`)).body).toMatchObject({ job_id: second.id, name: "mine" });

    const kept = async (table: string) => {
      const source = { table: `${world.slug}.${table}`, transform: "mine", settings: { url: world.url } };
      const { body } = await world.create({ name: table }, { source });
      await world.done(body.uuid);
      return (await world.payloads(await world.get(body.uuid)))[0].rows;
    };
    expect([await kept(world.job.slug), await kept("second_table")]).toEqual([[{ n: 1 }], [{ m: 2 }]]);

    // The project's own is for tables that have none of the name.
    const { name, type, settings } = keeping("o");
    const { output_columns } = settings;
    const body = { name, type, settings: { output_columns } };
    expect((await ask("POST", "/v1/transforms", { key: world.key, body })).status).toBe(201);
    expect((await native("")).body).toMatchObject({ job_id: null });
    expect((await world.use("DELETE", `${of(second)}/mine`)).status).toBe(204);
    expect([await shown(world.job), await shown(second)]).toEqual([[["mine", "n", true]], [["mine", "o", true]]]);
    const again = await world.begin({ job: second.id, transform: "mine", force: true });
    expect((await world.payloads(await world.ended(again.body.id)))[0]).toEqual({ o: 3 });
    expect((await native(`?job_id=${second.id}`)).status).toBe(404);
  });

  test("credentials are kept, listed without what they hold, and sign what is read", async () => {
    const world = await newWorld();
    const credentials = `/orgs/${world.org}/credentials`;
    const types = (await world.use("GET", `${credentials}/types/`)).body;
    expect(Object.keys(types["aws s3"].fields)).toEqual(["access_key_id", "secret_access_key"]);
    const keep = (secret_access_key: string) =>
      world.use("POST", `${credentials}/`, {
        name: "mine",
        description: "of the logs",
        type: "aws s3",
        details: { access_key_id: "good", secret_access_key },
      });
    expect((await keep("with a space")).status).toBe(422);
    const kept = await keep("correct-horse-battery-staple");
    expect([kept.status, kept.body.description]).toEqual([201, "of the logs"]);
    const listed = (await world.use("GET", credentials)).body;
    expect(listed).toEqual([kept.body]);
    expect(JSON.stringify(listed)).not.toMatch(/good|horse/);

    const bucket = `hydrolix-${world.slug}`.slice(0, 63);
    await (await fetch(`${inject("s3Url")}/${bucket}/a.ndjson`, { method: "PUT", body: ndjson(numbered(2)) })).text();
    const signed = { url: `s3://${bucket}/`, endpoint: inject("s3Url"), region: "eu-central-1" };
    const { body: job } = await world.create(
      {},
      { source: { table: world.table, settings: { ...signed, credential_id: kept.body.uuid } } },
    );
    expect((await world.done(job.uuid)).details.errors).toEqual([]);
    const record = await world.get(job.uuid);
    expect((await world.payloads(record)).flatMap((p) => p.rows)).toEqual(numbered(2));
  });

  /** What the client sends, byte for byte: a name is looked up in the list before every verb. */
  test("a whole session of the command-line client", async () => {
    const world = await newWorld();
    await world.put("a.ndjson", ndjson(numbered(1)));
    const org = `/config/v1/orgs/${world.org}`;
    const bytes = async (method: string, path: string, body?: string, type = "application/json") => {
      const headers = {
        Authorization: `Bearer ${world.token}`,
        Accept: "*/*",
        ...(body ? { "Content-Type": type } : {}),
      };
      return send(new Request(`http://sluice.test${path}`, { method, headers, body: body ?? null }));
    };
    for (const path of ["/projects/", "/projects/", `/projects/${world.org}/tables`]) {
      expect((await bytes("GET", `${org}${path}`)).status).toBe(200);
    }
    expect((await bytes("GET", `${org}/projects/${world.org}/tables/${world.job.id}/transforms`)).body).toEqual([]);
    const ingest =
      '{"name": "myjob", "description": "my job", "type": "batch_import", "settings": {"max_active_partitions": 576, ' +
      '"max_rows_per_partition": 33554432, "max_minutes_per_partition": 15, "input_concurrency": 1, "input_aggregation": ' +
      '1536000000, "max_files": 0, "dry_run": false, "regex_filter": "", "source": {"type": "batch", "subtype": "aws s3", ' +
      `"transform": "", "table": "${world.table}", "settings": {"url": "${world.url}"}}}}`;
    const made = await bytes("POST", `${org}/jobs/batch/`, ingest);
    expect([made.status, made.body.name]).toEqual([201, "myjob"]);
    const found = async () => {
      const { status, body } = await bytes("GET", `${org}/jobs/batch/`);
      expect(status).toBe(200);
      return body.find((job: { name: string }) => job.name === "myjob");
    };
    const { uuid } = await found();
    expect((await bytes("OPTIONS", `${org}/jobs/batch/`)).body.actions.POST.settings.type).toBe("nested object");
    const changed = { ...(await found()), description: "other" };
    expect((await bytes("PUT", `${org}/jobs/batch/${uuid}`, JSON.stringify(changed))).status).toBe(200);
    await world.done(uuid);
    expect((await found()).description).toBe("other");
    expect((await bytes("POST", `${org}/jobs/batch/${uuid}/cancel`)).status).toBe(200);
    expect((await bytes("POST", `${org}/jobs/batch/${uuid}/cancel`, "{}")).status).toBe(200);
    expect((await bytes("POST", `${org}/jobs/batch/${uuid}/retry`)).status).toBe(409);
    expect((await bytes("DELETE", `${org}/jobs/batch/${uuid}`)).status).toBe(204);
    expect(await found()).toBeUndefined();
    expect((await bytes("POST", `${org}/purgejobs/`)).status).toBe(200);
  });
});

describe("others", () => {
  test("another project's org, table, job and credential are not there", async () => {
    const mine = await newWorld();
    const other = await newWorld();
    const { body: job } = await other.create();
    for (const path of [
      `/orgs/${other.org}/projects/`,
      `${other.jobs}/`,
      `${other.jobs}/${job.uuid}`,
      `${mine.jobs}/${job.uuid}`,
      `/orgs/${mine.org}/projects/${mine.slug}/tables/${other.job.id}/transforms`,
    ]) {
      const { status, body } = await mine.use("GET", path);
      expect([path, status, Object.keys(body)]).toEqual([path, 404, ["detail"]]);
    }
    for (const verb of ["cancel", "retry", "status"]) {
      expect((await mine.use("POST", `${mine.jobs}/${job.uuid}/${verb}`)).status).toBe(404);
    }
    expect((await mine.use("DELETE", `${mine.jobs}/${job.uuid}`)).status).toBe(404);
    expect((await mine.use("POST", `/orgs/${other.org}/purgejobs/`)).status).toBe(404);
    expect((await other.use("GET", `${other.jobs}/${job.uuid}`)).status).toBe(200);
  });

  test("an import of the native face is none of this one's jobs", async () => {
    const world = await newWorld();
    const { body } = await world.begin();
    expect((await world.use("GET", `${world.jobs}/${body.id}`)).status).toBe(404);
    expect((await world.use("GET", world.jobs)).body).toEqual([]);
  });

  test("a key without the scope, a wrong method, an unknown path and half a body say so in a detail", async () => {
    const { id, key } = await newProject(["runs:read"]);
    const jobs = `/config/v1/orgs/${id}/jobs/batch/`;
    for (const [answer, status] of [
      [await ask("POST", jobs, { key, body: {} }), 403],
      [await ask("GET", jobs, { key: null }), 401],
      [await ask("DELETE", jobs, { key }), 405],
      [await ask("GET", "/config/v1/orgs/", { key }), 404],
      [await ask("POST", "/config/v1/login", { key: null, body: "{" }), 400],
      [
        await askWith({ ENCRYPTION_KEYS: "" }, "POST", "/config/v1/login", {
          key: null,
          body: { username: "a", password: "b" },
        }),
        401,
      ],
    ] as const) {
      expect([answer.status, Object.keys(answer.body)]).toEqual([status, ["detail"]]);
    }
    expect((await ask("GET", jobs, { key })).status).toBe(200);
  });

  test("a job whose slug has a dash is a table whose name has an underscore", async () => {
    const world = await newWorld();
    await newJob(world.key, { slug: "web-events", endpoint_url: world.job.endpoint_url });
    const source = { table: `${world.slug}.web_events`, settings: { url: world.url } };
    const { status, body } = await world.create({}, { source });
    expect([status, body.settings.source.table]).toEqual([201, `${world.slug}.web_events`]);
  });
});
