import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { airports, ndjson, newStateDir, root, type Sluice, scriptEnvironment, startSluice } from "./harness.ts";

/** The command line as a person and a script use it, against the real server. */

let sluice: Sluice;
let dir: string;
let env: NodeJS.ProcessEnv;
const calls: unknown[] = [];
const endpoint = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  const payload = JSON.parse(body) as { fail?: boolean };
  calls.push(payload);
  response.statusCode = payload.fail ? 422 : 200;
  response.end(JSON.stringify({ seen: payload }));
});

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

async function cli(args: string[], input?: string, extra: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [join(root, "src/cli/sluice.ts"), ...args], { env: { ...env, ...extra } });
  const ended: Ended = { code: null, out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    ended.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    ended.err += text;
  });
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { ...ended, code };
}

/** Ends well, and prints nothing but JSON. */
async function json<T>(args: string[], input?: string): Promise<T> {
  const { code, out, err } = await cli([...args, "--json"], input);
  expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out) as T;
}

function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

beforeAll(async () => {
  endpoint.listen(0, "127.0.0.1");
  dir = await newStateDir();
  env = scriptEnvironment({ SLUICE_CONFIG: join(dir, "profile.json") });
  sluice = await startSluice();
});
afterAll(async () => {
  await sluice.signalGroup("SIGTERM");
  endpoint.closeAllConnections();
  endpoint.close();
});

test("without a login every command says what to do, and exits with 2", async () => {
  const { code, err } = await cli(["jobs", "list"]);
  expect(code).toBe(2);
  expect(err).toContain("sluice login --url");
});

test("a login is tried before it is kept, where only its user can read it", async () => {
  const refused = await cli(["login", "--url", sluice.url, "--key", `sluice_${"0".repeat(64)}`]);
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining("wrong, revoked or expired") });
  const { code, out } = await cli(["login", "--url", sluice.url, "--key", sluice.apiKey]);
  expect(code).toBe(0);
  expect(out).not.toContain(sluice.apiKey);
  expect(statSync(join(dir, "profile.json")).mode & 0o777).toBe(0o600);
  const { out: who } = await cli(["whoami"]);
  expect(who).toContain("default");
  expect(who).not.toContain(sluice.apiKey);
  expect(await json(["whoami"])).toMatchObject({ url: sluice.url, project: { slug: "default" }, scopes: ["*"] });
});

test("jobs are made, shown, changed, paused and resumed", async () => {
  const { port } = endpoint.address() as AddressInfo;
  const url = `endpoint_url=http://127.0.0.1:${port}/`;
  const made = await json(["jobs", "create", "name=Orders", url, "max_attempts=1", "max_concurrency=20"]);
  expect(made).toMatchObject({ slug: "orders", max_attempts: 1, max_concurrency: 20 });
  expect(await json(["jobs", "update", "orders", "max_concurrency=50"])).toMatchObject({ max_concurrency: 50 });
  expect(await json(["jobs", "pause", "orders"])).toMatchObject({ paused: true });
  expect((await cli(["jobs", "list"])).out).toMatch(/^orders +Orders +paused/m);
  expect(await json(["jobs", "resume", "orders"])).toMatchObject({ paused: false });
  expect((await cli(["jobs", "get", "orders"])).out).toMatch(/^concurrency +0 of 50$/m);
  const refused = await cli(["jobs", "update", "orders", "max_atempts=2", "--json"]);
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.out)).toMatchObject({ error: { code: "validation_failed", status: 422 } });
  expect(refused.err).toContain("max_attempts");
});

test("a run is triggered and waited for; its failure is the command's", async () => {
  expect((await cli(["trigger", "orders", '{"order":1}', "--watch"])).code).toBe(0);
  const failed = await cli(["trigger", "orders", '{"fail":true}', "--watch"]);
  expect(failed.code).toBe(3);
  expect(failed.out).toMatch(/ {2}failed {2}/);
  expect(await cli(["trigger", "orders", "{order:1}"])).toMatchObject({ code: 2 });
  const once = await json<{ id: string }>(["trigger", "orders", "7", "--key", "k1"]);
  expect(await json(["trigger", "orders", "7", "--key", "k1"])).toMatchObject({ outcome: "duplicate", id: once.id });
  expect(await json(["runs", "get", once.id])).toMatchObject({ payload: 7, idempotency_key: "k1" });
});

describe("a bulk", () => {
  const rows = airports.slice(0, 500).map(({ id, name }) => ({ id, name }));

  test("of NDJSON is sent, watched to its end, and its results come back", async () => {
    const path = fileOf("airports.ndjson", ndjson(rows.map((payload) => ({ payload }))));
    const { code, out, err } = await cli(["bulk", "orders", path, "--watch"]);
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    const id = /^([0-9a-f-]{36}): 500 items, 500 runs/m.exec(out)?.[1] ?? "";
    expect(out).toContain(`${id} succeeded: 500 completed`);
    expect(err).toMatch(/100 % +500\/500/);
    const results = (await cli(["batch", "results", id])).out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(results.map((r) => [r.index, r.result.seen])).toEqual(rows.map((row, i) => [i, row]));
    expect(await json<{ id: string }[]>(["batch", "list", "--job", "orders", "--limit", "1"])).toMatchObject([{ id }]);
  });

  test("of CSV, packed, from standard input, with keys; sent again it is all duplicates", async () => {
    const csv = `id,name\n${rows
      .slice(0, 20)
      .map((r) => `${r.id},"${r.name.replaceAll('"', '""')}"`)
      .join("\n")}\n`;
    const path = fileOf("airports.csv.gz", gzipSync(csv));
    const keyed = ["--idempotency-field", "id"];
    expect(await json(["bulk", "orders", path, ...keyed])).toMatchObject({ created: 20, duplicates: 0 });
    const again = await json(["bulk", "orders", "-", "--format", "csv", ...keyed], csv);
    expect(again).toMatchObject({ created: 0, duplicates: 20 });
  });

  test("that fails in part says so: exit code 3", async () => {
    const items = [{ payload: { n: 1 } }, { payload: { fail: true } }, { priority: 99 }];
    const { code, out, err } = await cli(["bulk", "orders", fileOf("mixed.ndjson", ndjson(items)), "--watch"]);
    expect(code).toBe(3);
    const id = /^([0-9a-f-]{36}): 3 items, 2 runs, 0 duplicates, 1 rejected/m.exec(out)?.[1] ?? "";
    expect(out).toContain(`${id} partially failed: 1 completed, 1 failed, 1 rejected`);
    expect(err).toContain(`sluice batch items ${id} --outcome rejected`);
    expect((await cli(["batch", "items", id, "--outcome", "rejected"])).out).toContain("priority");
    expect((await cli(["batch", "cancel", id])).code).toBe(1);
    expect(out).toContain(`sluice batch retry-failed ${id}`);
    const again = await cli(["batch", "retry-failed", id, "--watch", "--json"]);
    expect(again.code).toBe(3);
    const [made, ...events] = again.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(made).toMatchObject({ total: 1, created: 1 });
    expect(events.at(-1)).toMatchObject({ event: "batch_state", id: made.batch_id, retry_of: id, status: "failed" });
    expect(await cli(["batch", "retry-failed", made.batch_id, "--key", "again"])).toMatchObject({ code: 0 });
  });

  test.each([
    ["list.ndjson", "[1,\n2]\n", "it looks like one JSON document"],
    ["table.csv", 'a,b\n1,"2\n', "Quote Not Closed"],
  ])("of a file that is not what its name says sends nothing: %s", async (name, content, message) => {
    const proxy = await breakingProxy(sluice.url, []);
    const { code, err } = await cli(["bulk", "orders", fileOf(name, content)], undefined, { SLUICE_URL: proxy.url });
    proxy.server.close();
    expect({ code, named: err.includes(name), said: err.includes(message) }).toEqual({
      code: 1,
      named: true,
      said: true,
    });
    expect(proxy.asked).toBe(0);
  });

  test("goes on over connections that break in the middle of an upload, and loses and doubles nothing", async () => {
    // More than one part: a part has 4 MiB at most.
    const filling = "x".repeat(10_000);
    const items = Array.from({ length: 500 }, (_, i) => ({ payload: { upload: i, filling } }));
    const path = fileOf("big.ndjson", ndjson(items));
    const proxy = await breakingProxy(sluice.url, [0.5, 1, 0.2]);
    const watched = calls.length;
    const result = await cli(["bulk", "orders", path, "--watch", "--json"], undefined, { SLUICE_URL: proxy.url });
    proxy.server.close();
    expect(result.code).toBe(0);
    const first = JSON.parse(result.out.split("\n")[0] ?? "");
    expect(first).toMatchObject({ total: 500, created: 500 });
    expect(proxy.broken).toBe(3);
    const seen = (calls.slice(watched) as { upload: number }[]).map((c) => c.upload).sort((a, b) => a - b);
    expect(seen).toEqual(items.map((_, i) => i));
  });
});

test("runs are listed by job, batch and status, and tail shows them as they come", async () => {
  const failed = await json<{ status: string }[]>(["runs", "list", "--job", "orders", "--status", "failed"]);
  expect(failed.length).toBeGreaterThan(0);
  expect(new Set(failed.map((r) => r.status))).toEqual(new Set(["failed"]));
  const child = spawn(process.execPath, [join(root, "src/cli/sluice.ts"), "tail", "--job", "orders", "--json"], {
    env,
  });
  // What arrives in one piece may be less than a line, or several.
  let text = "";
  const ended = once(child, "close");
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  const { id } = await json<{ id: string }>(["trigger", "orders", '{"tail":true}']);
  const whole = () => text.split("\n").slice(0, -1);
  while (!whole().some((line) => line.includes(id) && line.includes('"completed"')))
    await new Promise((r) => setTimeout(r, 20));
  child.kill("SIGINT");
  expect((await ended)[0]).toBe(0);
  expect(text.endsWith("\n")).toBe(true);
  for (const line of whole()) expect(() => JSON.parse(line)).not.toThrow();
});

describe("an import", () => {
  /** A store of two objects, as much of S3 as it takes. */
  const objects: Record<string, string> = {
    "in/a.ndjson": '{"import":1}\n{"import":2}\nno row\n',
    "in/b.csv": "import\n3\n",
  };
  const store = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://store");
    const key = decodeURIComponent(pathname.slice("/bucket/".length));
    if (searchParams.has("list-type")) {
      const found = Object.entries(objects).map(
        ([name, text]) =>
          `<Contents><Key>${name}</Key><ETag>"${name.length}"</ETag><Size>${text.length}</Size></Contents>`,
      );
      response.end(`<ListBucketResult><IsTruncated>false</IsTruncated>${found.join("")}</ListBucketResult>`);
    } else {
      response.setHeader("ETag", `"${key.length}"`);
      response.end(objects[key]);
    }
  });
  beforeAll(async () => {
    store.listen(0, "127.0.0.1");
    await once(store, "listening");
  });
  afterAll(() => {
    store.closeAllConnections();
    store.close();
  });

  test("is begun, watched to its end, and shows its files and rejects", async () => {
    const source = { url: "s3://bucket/in/", endpoint: `http://127.0.0.1:${(store.address() as AddressInfo).port}` };
    const file = fileOf("import.json", JSON.stringify({ job: "orders", name: "two files", source }));
    const { code, out, err } = await cli(["import", "create", "--file", file, "--delivery", "row", "--watch"]);
    expect({ code, err: code === 3 ? "" : err }).toEqual({ code: 3, err: "" });
    const id = /^([0-9a-f-]{36}): s3:\/\/bucket\/in\/ into orders/m.exec(out)?.[1] ?? "";
    expect(out).toContain(`${id} done with errors: 2 of 2 files; 3 rows delivered, 1 rejected`);
    const { batch_id } = await json<{ batch_id: string }>(["import", "get", id]);
    expect(out).toContain(`sluice batch watch ${batch_id}`);
    const [files, rejects, listed, canceled] = await Promise.all([
      json(["import", "files", id]),
      cli(["import", "rejects", id]),
      json(["import", "list", "--job", "orders"]),
      cli(["import", "cancel", id]),
    ]);
    expect(files).toMatchObject([
      { key: "in/a.ndjson", rows: 3, rejects: 1 },
      { key: "in/b.csv", rows: 1, rejects: 0 },
    ]);
    expect(JSON.parse(rejects.out)).toMatchObject({ file: "s3://bucket/in/a.ndjson", line: 3, raw: "no row" });
    expect(listed).toMatchObject([{ id, name: "two files" }]);
    expect(canceled).toMatchObject({ code: 1, err: expect.stringContaining("conflict") });
    expect((await cli(["batch", "watch", batch_id])).code).toBe(0);
    const rows = (calls as { import?: number | string }[]).flatMap((c) => (c.import === undefined ? [] : [c.import]));
    expect(rows.map(Number).sort()).toEqual([1, 2, 3]);
  });

  test.each([
    ["no.json", "{", 1, "is not JSON"],
    ["list.json", "[]", 1, "expected one JSON object"],
    ["nowhere.json", "{}", 2, "which source"],
  ])("of a file that does not say what to import is refused: %s", async (name, content, code, message) => {
    const ended = await cli(["import", "create", "--file", fileOf(name, content)]);
    expect({ code: ended.code, said: ended.err.includes(message) }).toEqual({ code, said: true });
  });
});

/** Passes requests on, and breaks the connection of the first uploads after a share of their bytes. */
async function breakingProxy(
  target: string,
  shares: number[],
): Promise<{ url: string; server: Server; broken: number; asked: number }> {
  const { hostname, port } = new URL(target);
  const state = { url: "", server: createServer(), broken: 0, asked: 0 };
  state.server.on("request", (request, response) => {
    state.asked += 1;
    const onward = httpRequest({ hostname, port, path: request.url, method: request.method, headers: request.headers });
    const length = Number(request.headers["content-length"] ?? 0);
    const share = length > 100_000 ? shares[state.broken] : undefined;
    let passed = 0;
    if (share !== undefined) state.broken += 1;
    const cut = (): void => {
      onward.destroy();
      response.socket?.destroy();
    };
    request.on("data", (chunk: Buffer) => {
      passed += chunk.length;
      onward.write(chunk);
      if (share !== undefined && share < 1 && passed >= share * length) cut();
    });
    request.on("end", () => onward.end());
    onward.on("error", () => response.socket?.destroy());
    onward.on("response", (answer) => {
      // All of it was taken, and the answer is lost.
      if (share === 1) return cut();
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
  });
  state.server.listen(0, "127.0.0.1");
  await once(state.server, "listening");
  state.url = `http://127.0.0.1:${(state.server.address() as AddressInfo).port}`;
  return state;
}

test("the manual names every command", async () => {
  const { out } = await cli(["--help"]);
  for (const name of ["login", "jobs", "trigger", "bulk", "batch", "import", "runs", "tail"])
    expect(out).toContain(`\n  ${name}`);
  expect(out).toContain("--json");
  for (const code of [0, 1, 2, 3, 130]) expect(out).toMatch(new RegExp(`^ +${code} +\\w`, "m"));
});
