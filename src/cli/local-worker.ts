import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { descendants, isAlive, killHard, startedWith } from "./process-tree.ts";
import { spawnLocalRuntime } from "./spawn-runtime.ts";
import type { StateDir } from "./state-dir.ts";
import { movedConfig, readWranglerConfig, type WranglerConfig } from "./wrangler-config.ts";

/** The Worker in the local runtime. */
export interface LocalWorker {
  url: string;
  /** Ends every process of it. */
  stop(): Promise<void>;
  /** Resolves when it has ended, by `stop` or by itself. */
  ended: Promise<void>;
  /** The last lines of its log. */
  logTail(): string;
}

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 40;
const STOP_GRACE_MS = 3_000;
const TAIL_LINES = 60;

export interface LocalWorkerOptions {
  root: string;
  port: number;
  state: StateDir;
  vars: Record<string, string>;
  /** Aborted: the Worker ends, started or not. */
  signal: AbortSignal;
}

/**
 * Starts the Worker on 127.0.0.1 and waits until it answers.
 *
 * @throws Error with the runtime's log where it does not come up.
 */
export async function startLocalWorker({ root, port, state, vars, signal }: LocalWorkerOptions): Promise<LocalWorker> {
  signal.throwIfAborted();
  const configFile = join(state.path, "wrangler.json");
  writeFileSync(configFile, JSON.stringify(localConfig(root, state.path)));
  const log = openSync(state.logFile, "w");
  const child = spawnLocalRuntime({ configFile, vars, port, stateDir: state.path }, log);
  closeSync(log);
  const family = new Family(child, port);
  signal.addEventListener("abort", () => family.end());
  const worker: LocalWorker = {
    url: `http://127.0.0.1:${port}`,
    stop: () => family.end(),
    ended: family.ended,
    logTail: () => readFileSync(state.logFile, "utf8").split("\n").slice(-TAIL_LINES).join("\n"),
  };
  if (await answers(`${worker.url}/health`, family)) return worker;
  await worker.stop();
  throw new Error(`the Worker did not start:\n${worker.logTail()}`);
}

/** As it is deployed, but untraced: the local runtime's tracing of every call costs more than half of the speed. */
function localConfig(root: string, folder: string): WranglerConfig {
  const { observability: _, ...config } = movedConfig(readWranglerConfig(root), root, folder);
  return config;
}

/** The process of the runtime and those below it. */
class Family {
  readonly ended: Promise<void>;
  private readonly child: ChildProcess;
  /** Known before it dies: afterwards nobody can tell whose they were. */
  private members: number[] = [];
  private readonly census: NodeJS.Timeout;

  /** @param port of the runtime. One that it began again a moment ago is known by its address only. */
  constructor(child: ChildProcess, port: number) {
    this.child = child;
    this.census = setInterval(() => this.count(), 2_000);
    this.ended = new Promise((resolve) => {
      child.once("exit", () => {
        clearInterval(this.census);
        killHard([...this.members.filter(isAlive), ...startedWith(`--socket-addr=entry=127.0.0.1:${port}`)]);
        resolve();
      });
    });
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  count(): void {
    if (this.child.pid !== undefined && !this.hasEnded) this.members = descendants(this.child.pid);
  }

  async end(): Promise<void> {
    this.count();
    this.child.kill("SIGTERM");
    await Promise.race([this.ended, sleep(STOP_GRACE_MS, undefined, { ref: false })]);
    if (!this.hasEnded) {
      this.count();
      this.child.kill("SIGKILL");
    }
    await this.ended;
  }
}

async function answers(url: string, family: Family): Promise<boolean> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && !family.hasEnded) {
    if (await isUp(url)) {
      family.count();
      return true;
    }
    await sleep(POLL_MS);
  }
  return false;
}

async function isUp(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // Not listening yet.
  }
}
