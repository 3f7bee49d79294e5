import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { start as startZoo } from "../fixtures/endpoint/server.ts";
import {
  finishedRun,
  newStateDir,
  root,
  type Sluice,
  type StartOptions,
  scriptEnvironment,
  startSluice,
  until,
} from "./harness.ts";

const started: Sluice[] = [];
async function start(options: StartOptions = {}): Promise<Sluice> {
  const sluice = await startSluice(options);
  started.push(sluice);
  return sluice;
}

afterEach(async () => {
  for (const sluice of started.splice(0)) await sluice.signalGroup("SIGKILL");
});

const noneLeft = (sluice: Sluice) => until(() => sluice.processes().length === 0);

/** Kills one of its processes without a word, and waits until the others are gone too. */
async function leavesNothingWithout(sluice: Sluice, victim: RegExp): Promise<void> {
  const found = sluice.processes().find(({ command }) => victim.test(command) && !/^sh /.test(command));
  expect(found, `${victim} among ${JSON.stringify(sluice.processes())}`).toBeDefined();
  if (found) process.kill(found.pid, "SIGKILL");
  await noneLeft(sluice);
}

/** Kills one of its processes without a word, and waits until another has taken its place and answers. */
async function goesOnWithout(sluice: Sluice, victim: RegExp): Promise<void> {
  const running = () => sluice.processes().find(({ command }) => victim.test(command))?.pid;
  const killed = running();
  if (killed === undefined) throw new Error(`${victim} among ${JSON.stringify(sluice.processes())}`);
  process.kill(killed, "SIGKILL");
  await until(() => running() !== undefined && running() !== killed);
  await until(async () => (await fetch(`${sluice.url}/health`).catch(() => null))?.ok);
}

/** A start is dear: each server is asked what can be asked of it before one of its processes is killed. */
describe("npm run dev", () => {
  test("says in one line where it is and with which key; started again it goes on where it was; ends with its npm", async () => {
    const zoo = await startZoo();
    const first = await start();
    expect(first.output().trim().split("\n")).toHaveLength(1);
    expect(first.url).toBe(`http://127.0.0.1:${first.port}`);
    expect(first.apiKey).toMatch(/^sluice_[0-9a-f]{64}$/);
    await first.api.post("/v1/jobs", { name: "Kept", endpoint_url: `${zoo.url}/ok` });
    const { id } = await first.api.post<{ id: string }>("/v1/jobs/kept/trigger", { payload: { n: 1 } });
    await finishedRun(first, id);
    await first.signalGroup("SIGINT");
    await noneLeft(first);

    const second = await start({ stateDir: first.stateDir, port: first.port });
    expect(second.apiKey).toBe(first.apiKey);
    expect(await second.api.get("/v1/jobs/kept")).toMatchObject({ slug: "kept" });
    expect(await second.api.get(`/v1/runs/${id}`)).toMatchObject({ status: "completed", payload: { n: 1 } });
    await zoo.stop();
    await leavesNothingWithout(second, /\bnpm\b/);
  });

  test("takes ADMIN_TOKEN from the environment, and shows no secret in the list of processes; ends with its script", async () => {
    const adminToken = "an-admin-token-of-the-environment-0123456789";
    const sluice = await start({ env: { ADMIN_TOKEN: adminToken } });
    const response = await fetch(`${sluice.url}/v1/projects`, { headers: { authorization: `Bearer ${adminToken}` } });
    expect(response.status).toBe(200);
    expect(sluice.processes().map((p) => p.command)).not.toContainEqual(expect.stringContaining(adminToken));
    await leavesNothingWithout(sluice, /src\/cli\/dev\.ts/);
  });

  test("keeps its folder to itself; a crash of workerd is mended; leaves no process behind when its runtime's is killed", async () => {
    const first = await start();
    const { stateDir } = first;
    expect(await failedStart({ PORT: "0", STATE_DIR: stateDir })).toContain(`${stateDir} is in use`);
    await goesOnWithout(first, /workerd serve/);
    await leavesNothingWithout(first, /leave-with-parent/);
  });

  test("names a port that is in use, and ends", async () => {
    const squatter = createServer().listen(0, "127.0.0.1");
    await once(squatter, "listening");
    const { port } = squatter.address() as { port: number };
    const said = await failedStart({ PORT: String(port), STATE_DIR: await newStateDir() });
    squatter.close();
    expect(said).toContain(`port ${port} is in use`);
  });
});

/** What `npm run dev` says that does not start. */
async function failedStart(env: Record<string, string>): Promise<string> {
  const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
    execFile("npm", ["run", "--silent", "dev"], { cwd: root, env: scriptEnvironment(env) }, (error, _stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stderr }),
    );
  });
  expect(code).toBe(1);
  return stderr;
}
