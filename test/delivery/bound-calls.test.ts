import { Webhook } from "standardwebhooks";
import { beforeAll, describe, expect, inject, test, vi } from "vitest";
import { type Env, parseSettings } from "../../src/env.ts";
import { type Answer, ask, bindings, newProject } from "../http/ask.ts";

/**
 * What a call is made of beside its payload: environments, signatures, traces, services (contract 4.7, 6 and 7). From the
 * trigger to a real endpoint and back.
 */

const zoo = inject("endpointUrl");
let key: string;
beforeAll(async () => {
  key = (await newProject()).key;
});

const post = (path: string, body: unknown, headers?: Record<string, string>): Promise<Answer> =>
  ask("POST", path, { key, body, ...(headers && { headers }) });

async function made(path: string, body: unknown): Promise<Answer["body"]> {
  const answer = await post(path, body);
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
  return answer.body;
}

const newJob = (fields: Record<string, unknown>) =>
  made("/v1/jobs", { name: "Bound", retry_base_secs: 0, retry_jitter: 0, max_attempts: 3, ...fields });

/** Triggers one run and waits for its end. */
async function run(job: { id: string }, body: unknown = {}, headers?: Record<string, string>): Promise<Answer["body"]> {
  const triggered = await post(`/v1/jobs/${job.id}/trigger`, body, headers);
  if (triggered.status !== 201) throw new Error(JSON.stringify(triggered.body));
  return vi.waitFor(
    async () => {
      const { body: found } = await ask("GET", `/v1/runs/${triggered.body.id}`, { key });
      expect(["completed", "failed", "timed_out"]).toContain(found.status);
      return found;
    },
    { timeout: 20_000, interval: 30 },
  );
}

interface Logged {
  path: string;
  headers: Record<string, string>;
  body: string;
}

const logged = async (mark: string): Promise<Logged[]> => {
  const log = await (await fetch(`${zoo}/__log`)).json<Logged[]>();
  return log.filter((call) => call.path.includes(mark));
};

describe("a job in an environment", () => {
  test("is called where its variables say, encoded in the URL and as they are in headers", async () => {
    const mark = crypto.randomUUID();
    const variables = { REGION: "eu/west 1?&#", TOKEN: "hush {x}", MARK: mark };
    const environment = await made("/v1/environments", { name: "Staging", variables });
    const job = await newJob({
      environment_id: environment.id,
      endpoint_url: `${zoo}/echo?region={{env.REGION}}&mark={{env.MARK}}`,
      endpoint_headers: { Authorization: "Bearer {{env.TOKEN}}", "X-Plain": "{{ mustache }}" },
    });
    expect(await run(job, { payload: { n: 1 } })).toMatchObject({ status: "completed", result: { n: 1 } });
    const [call] = await logged(mark);
    expect(call?.path).toBe(`/echo?region=eu%2Fwest%201%3F%26%23&mark=${mark}`);
    expect(call?.headers).toMatchObject({ authorization: "Bearer hush {x}", "x-plain": "{{ mustache }}" });
  });

  test("goes to the environment's ENDPOINT_URL and FALLBACK_ENDPOINT_URL, one that the job lacks too", async () => {
    const mark = crypto.randomUUID();
    const environment = await made("/v1/environments", {
      name: "Staging",
      variables: {
        ENDPOINT_URL: `${zoo}/status/503?mark={{env.MARK}}`,
        FALLBACK_ENDPOINT_URL: `${zoo}/ok?mark={{env.MARK}}`,
        MARK: mark,
      },
    });
    const elsewhere = `${zoo}/status/500?never=${mark}`;
    for (const fallback_endpoint_url of [elsewhere, null]) {
      const job = await newJob({ environment_id: environment.id, endpoint_url: elsewhere, fallback_endpoint_url });
      expect(await run(job)).toMatchObject({ status: "completed", attempt: 1, used_fallback: true });
    }
    const paths = (await logged(mark)).map((call) => call.path.split("?")[0]);
    expect(paths).toEqual(["/status/503", "/ok", "/status/503", "/ok"]);
  });

  test.each<[Record<string, string>, string]>([
    [{ HEADER: "b" }, "the address uses {{env.SEGMENT}}, and the job's environment has no such variable"],
    [{ SEGMENT: "a" }, "endpoint_headers.X-H uses {{env.HEADER}}, and the job's environment has no such variable"],
    [{ SEGMENT: "..", HEADER: "b" }, "the address gets a path segment of dots from {{env.SEGMENT}}"],
    [
      { SEGMENT: "a", HEADER: "b\r\nX-Forged: 1" },
      "endpoint_headers.X-H gets characters from its variables that a header cannot carry",
    ],
    [{ SEGMENT: "a".repeat(2048), HEADER: "b" }, "the address is longer than 2048 characters"],
  ])("whose variables become %j is blocked: one attempt, and it says why", async (variables, message) => {
    const environment = await made("/v1/environments", { name: "Prod", variables: { SEGMENT: "a", HEADER: "b" } });
    const job = await newJob({
      environment_id: environment.id,
      endpoint_url: `${zoo}/ok/{{env.SEGMENT}}/`,
      endpoint_headers: { "X-H": "{{env.HEADER}}" },
    });
    await ask("PATCH", `/v1/environments/${environment.id}`, { key, body: { variables } });
    const { status, attempts, error } = await run(job);
    expect([status, attempts.length]).toEqual(["failed", 1]);
    expect(error).toEqual({ class: "blocked", message, http_status: null });
  });

  test("is called by a changed variable soon after", async () => {
    const environment = await made("/v1/environments", { name: "Prod", variables: { A: "one" } });
    const job = await newJob({ environment_id: environment.id, endpoint_url: "service://billing/{{env.A}}" });
    expect((await run(job)).result.url).toBe("https://billing/one");
    await ask("PATCH", `/v1/environments/${environment.id}`, { key, body: { variables: { A: "two" } } });
    await expect
      .poll(async () => (await run(job)).result.url, { timeout: 15_000, interval: 200 })
      .toBe("https://billing/two");
  });

  test("which cannot be read now: the run waits, at no attempt", async () => {
    const mark = crypto.randomUUID();
    const environment = await made("/v1/environments", { name: "Damaged", variables: { MARK: mark } });
    const job = await newJob({ environment_id: environment.id, endpoint_url: `${zoo}/ok?mark={{env.MARK}}` });
    const { variables } = (await bindings.DB.prepare("SELECT variables FROM environments WHERE id = ?")
      .bind(environment.id)
      .first<{ variables: string }>()) ?? { variables: "" };
    const write = (text: string) =>
      bindings.DB.prepare("UPDATE environments SET variables = ?, revision = revision + 1 WHERE id = ?")
        .bind(text, environment.id)
        .run();
    await write('{"MARK":"v1.1.AAAA.AAAA"}');
    const quiet = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const { id } = (await post(`/v1/jobs/${job.id}/trigger`, {})).body;
    const state = async () => (await ask("GET", `/v1/runs/${id}`, { key })).body;
    await expect.poll(state, { timeout: 15_000 }).toMatchObject({ status: "delayed", attempt: 0, attempts: [] });
    expect(await logged(mark)).toEqual([]);
    const faults = quiet.mock.calls.map(([line]) => JSON.parse(String(line)) as Record<string, string>);
    expect(faults.find(({ event }) => event === "delivery_fault")).toMatchObject({ job_id: job.id, run_id: id });
    await write(variables);
    quiet.mockRestore();
    await expect.poll(state, { timeout: 20_000 }).toMatchObject({ status: "completed", attempt: 1 });
    expect(await logged(mark)).toHaveLength(1);
  });
});

test("no secret of a call stands in its run or in a log, however the call ends", async () => {
  const lines: unknown[] = [];
  const spies = (["log", "error", "warn", "info"] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation((...args) => void lines.push(args)),
  );
  try {
    const environment = await made("/v1/environments", { name: "Secret", variables: { TOKEN: "hush-token" } });
    const fields = {
      environment_id: environment.id,
      endpoint_headers: { Authorization: "hush-header {{env.TOKEN}}" },
      endpoint_signing_secret: "hush-signing-secret-of-some-length",
      max_attempts: 1,
      timeout_secs: 1,
    };
    // Nobody listens, nobody answers, somebody refuses, a service breaks.
    const urls = [
      "http://127.0.0.1:1025/{{env.TOKEN}}",
      `${zoo}/hang?t={{env.TOKEN}}`,
      `${zoo}/status/500?t={{env.TOKEN}}`,
    ];
    const jobs = await Promise.all(
      [...urls, "service://billing/throw?t={{env.TOKEN}}"].map((endpoint_url) => newJob({ ...fields, endpoint_url })),
    );
    const ended = await Promise.all(jobs.map((job) => run(job)));
    expect(ended.map((r) => r.error.class)).toEqual(["connection", "timeout", "server", "connection"]);
    const shown = JSON.stringify([jobs, ended, (await ask("GET", "/v1/runs", { key })).body, lines]);
    expect(shown).not.toContain("hush");
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
});

describe("a signed call", () => {
  const payload = '{"n":12345678901234567890,"text":"h\\u00e9llo 🎉 é"}';

  async function hmac(secret: string, text: string): Promise<string> {
    const utf8 = new TextEncoder();
    const hash = { name: "HMAC", hash: "SHA-256" };
    const imported = await crypto.subtle.importKey("raw", utf8.encode(secret), hash, false, ["sign"]);
    const bytes = new Uint8Array(await crypto.subtle.sign("HMAC", imported, utf8.encode(text)));
    return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  }

  test.each([
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", new Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
    ["just some text, é", new Webhook(new TextEncoder().encode("just some text, é"), { format: "raw" })],
  ])("with the secret %s is verified in both ways, on every attempt", async (secret, webhook) => {
    const mark = crypto.randomUUID();
    const job = await newJob({ endpoint_url: `${zoo}/flaky?fail=2&mark=${mark}`, endpoint_signing_secret: secret });
    const done = await run(job, `{"payload":${payload}}`);
    expect(done).toMatchObject({ status: "completed", attempt: 3 });
    const calls = await logged(mark);
    expect(calls).toHaveLength(3);
    for (const { headers, body } of calls) {
      expect(body).toBe(payload);
      // Throws where the signature does not fit, or the time is not now.
      expect(webhook.verify(body, headers)).toEqual(JSON.parse(payload));
      expect(headers["webhook-id"]).toBe(done.id);
      expect(headers["webhook-timestamp"]).toBe(headers["x-strait-timestamp"]);
      const plain = `v1=${await hmac(secret, `${headers["x-strait-timestamp"]}.${body}`)}`;
      expect([headers["x-strait-signature"], headers["x-webhook-signature"]]).toEqual([plain, plain]);
      expect(() => webhook.verify(`${body} `, headers)).toThrow();
    }
  });

  test("is signed only with a secret, and no more when that is taken away", async () => {
    const mark = crypto.randomUUID();
    const job = await newJob({
      endpoint_url: `${zoo}/ok?mark=${mark}`,
      endpoint_signing_secret: "a secret of some length",
    });
    await run(job);
    await ask("PATCH", `/v1/jobs/${job.id}`, { key, body: { endpoint_signing_secret: null } });
    await run(job);
    const signed = (await logged(mark)).map((call) =>
      Object.keys(call.headers).filter((name) => /signature|strait/.test(name)),
    );
    expect(signed.map((names) => names.length)).toEqual([4, 0]);
  });
});

describe("the trace of a call", () => {
  const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

  test("is the trigger request's, on every attempt and for every item", async () => {
    const mark = crypto.randomUUID();
    const job = await newJob({ endpoint_url: `${zoo}/flaky?fail=1&mark=${mark}` });
    await run(job, {}, { traceparent: trace });
    await post(`/v1/jobs/${job.id}/trigger-bulk`, { items: [{}, {}] }, { traceparent: trace });
    await expect.poll(async () => (await logged(mark)).length, { timeout: 15_000 }).toBe(6);
    expect(new Set((await logged(mark)).map((call) => call.headers.traceparent))).toEqual(new Set([trace]));
  });

  test("goes on with its state to the calls, and to the webhooks of runs and batches", async () => {
    const headers = { traceparent: trace, tracestate: "rojo=00f067aa0ba902b7 , congo=t61rcWkgMzE" };
    const told = { traceparent: trace, tracestate: "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE" };
    const mark = crypto.randomUUID();
    const job = await newJob({ endpoint_url: `${zoo}/ok?mark=${mark}`, webhook_url: `${zoo}/ok?hook=1&mark=${mark}` });
    await run(job, {}, headers);
    const batch = { items: [{}], webhook_url: `${zoo}/ok?hook=batch&mark=${mark}` };
    await post(`/v1/jobs/${job.id}/trigger-bulk`, batch, headers);
    // Two calls, what became of each, and the batch's end.
    await expect.poll(async () => (await logged(mark)).length, { timeout: 15_000 }).toBe(5);
    for (const call of await logged(mark)) expect(call.headers).toMatchObject(told);
  });

  test.each(["00-0-0-0", `${trace}0`, trace.toUpperCase()])(
    "is a new one where %s came, the same on every attempt",
    async (broken) => {
      const mark = crypto.randomUUID();
      const job = await newJob({ endpoint_url: `${zoo}/flaky?fail=1&mark=${mark}` });
      await run(job, {}, { traceparent: broken });
      const seen = (await logged(mark)).map((call) => call.headers.traceparent);
      expect(seen[0]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      expect(seen).toEqual([seen[0], seen[0]]);
      expect(seen[0]).not.toContain("4bf92f35");
    },
  );
});

describe("a service endpoint", () => {
  test("is called through its binding, with the same headers, body and signature", async () => {
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const job = await newJob({
      endpoint_url: "service://billing/invoices?dry=1",
      endpoint_method: "PUT",
      endpoint_headers: { "X-Own": "1" },
      endpoint_signing_secret: secret,
    });
    const { id, status, result } = await run(job, { payload: { n: 1 } });
    expect(status).toBe("completed");
    expect(result).toMatchObject({ method: "PUT", url: "https://billing/invoices?dry=1", body: '{"n":1}' });
    expect(result.headers).toMatchObject({
      "content-type": "application/json",
      "x-own": "1",
      "x-run-id": id,
      "idempotency-key": id,
      "x-attempt": "1",
      traceparent: expect.any(String),
    });
    expect(new Webhook(secret).verify(result.body, result.headers)).toEqual({ n: 1 });
  });

  test.each([
    ["/redirect", { status: "failed", error: { class: "client", http_status: 302 }, attempt: 1 }],
    ["/down", { status: "failed", error: { class: "server", http_status: 503 }, attempt: 2 }],
    ["/throw", { status: "failed", error: { class: "connection", message: "it broke" }, attempt: 2 }],
    ["/hang", { status: "timed_out", error: { class: "timeout" }, attempt: 1 }],
  ])("%s ends as any other endpoint's would: %o", async (path, expected) => {
    const max_attempts = path === "/hang" ? 1 : 2;
    const job = await newJob({ endpoint_url: `service://billing${path}`, max_attempts, timeout_secs: 1 });
    expect(await run(job)).toMatchObject(expected);
  });

  test("may be filled in by variables, be an environment's, and be a fallback", async () => {
    const environment = await made("/v1/environments", {
      name: "Services",
      variables: { ENDPOINT_URL: `${zoo}/status/503`, FALLBACK_ENDPOINT_URL: "service://billing/{{env.A}}", A: "x/y" },
    });
    const job = await newJob({ endpoint_url: "service://billing/", environment_id: environment.id });
    expect((await run(job)).result.url).toBe("https://billing/x%2Fy");
  });

  test.each(["service://private/", "service://nobody/", "service://billing:443/", "service://BILLING/"])(
    "%s is not the project's: 422 at save",
    async (endpoint_url) => {
      const answer = await post("/v1/jobs", { name: "x", endpoint_url });
      expect([answer.status, answer.body.error.details[0]?.path]).toEqual([422, "endpoint_url"]);
      const hooked = await post("/v1/jobs", { name: "x", endpoint_url: zoo, webhook_url: "service://billing/" });
      expect([hooked.status, hooked.body.error.details[0]?.path]).toEqual([422, "webhook_url"]);
    },
  );

  test("of a mapping that is wrong, or of a binding that is not there, stops the deployment with a clear word", () => {
    const settingsWith = (SERVICE_ENDPOINTS: string) => parseSettings({ ...bindings, SERVICE_ENDPOINTS } as Env);
    expect(() => settingsWith("{")).toThrow("SERVICE_ENDPOINTS is not JSON");
    const mapping = '{"x":{"binding":"NOT_BOUND","projects":"*"}}';
    expect(() => settingsWith(mapping)).toThrow(
      "SERVICE_ENDPOINTS x: this deployment has no service binding NOT_BOUND",
    );
  });
});
