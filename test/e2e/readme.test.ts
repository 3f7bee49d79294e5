import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EndpointZoo, start as startZoo } from "../fixtures/endpoint/server.ts";
import {
  type BatchOperation,
  finishedBatch,
  root,
  type Sluice,
  scriptEnvironment,
  startSluice,
  until,
} from "./harness.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function run(command: string, args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, env: scriptEnvironment(env) }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr }),
    );
  });
}

describe("the README's first commands", () => {
  // What stands before it, `npm ci`, is how these tests came to run.
  test("npm run demo shows the way of a real list to its end, in under a minute", { timeout: 60_000 }, async () => {
    expect(readme).toContain("npm ci && npm run demo");
    const { code, stdout, stderr } = await run("npm", ["run", "--silent", "demo"]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("] 100 %  7184/7184");
    expect(stdout).toMatch(/^completed +6\d\d\d +9\d\.\d %$/m);
    expect(stdout).toMatch(/^failed +\d+ /m);
    expect(stdout).toMatch(/^most at once +50$/m);
    expect(stdout).toMatch(/STATE_DIR=\S+ npm run dev/);
    expect(stdout).not.toContain("\x1b");
  });

  test("npm run deploy bundles, and what it bundles is production", async () => {
    const { code, stdout, stderr } = await run("npm", ["run", "--silent", "deploy", "--", "--dry-run"]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('env.ENVIRONMENT ("production")');
  });
});

describe("the README's walk through the API", () => {
  let sluice: Sluice;
  let zoo: EndpointZoo;

  beforeAll(async () => {
    zoo = await startZoo();
    sluice = await startSluice();
  });

  afterAll(async () => {
    await sluice.signalGroup("SIGINT");
    await zoo.stop();
  });

  test("does what it says, command by command", async () => {
    const blocks = [...readme.matchAll(/<!-- tested -->\n```sh\n(.*?)```/gs)].map(([, block]) => block ?? "");
    expect(blocks).toHaveLength(4);
    const script = blocks.join("\n").replaceAll("http://127.0.0.1:9000", zoo.url);
    const failing = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }\n';
    const env = { URL: sluice.url, KEY: sluice.apiKey };
    const { code, stdout, stderr } = await run("bash", ["-euc", failing + script], env);
    expect(code, stdout + stderr).toBe(0);

    const batch = await until(async () => {
      const { data } = await sluice.api.get<{ data: BatchOperation[] }>("/v1/batch-operations?limit=1");
      return data[0];
    });
    expect(await finishedBatch(sluice, batch.id)).toMatchObject({ status: "succeeded", created_count: 1_000 });
    await until(() => zoo.stats().calls === 1_001);
    expect(zoo.stats().peak_in_flight).toBeLessThanOrEqual(20);
    expect(await sluice.api.get("/v1/jobs/orders")).toMatchObject({ max_concurrency: 5, version: 2, paused: false });
  });
});
