import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Api, ApiFailure, createApi } from "./api.ts";
import { startCronClock } from "./cron-clock.ts";
import { ensureDashboard } from "./dashboard-build.ts";
import { type LocalWorker, startLocalWorker } from "./local-worker.ts";
import { applyMigrations } from "./migrations.ts";
import { freePort, isFree } from "./port.ts";
import { openStateDir, readText, type StateDir, writeSecret } from "./state-dir.ts";
import { lockStateDir } from "./state-lock.ts";

export interface DevOptions {
  /** 0: any free port. */
  port: number;
  stateDir: string;
  adminToken?: string;
  /** Aborted: everything that was started ends. */
  signal: AbortSignal;
}

/** A running Sluice on this machine. */
export interface DevServer {
  url: string;
  /** Of the project `default`, with every scope. */
  apiKey: string;
  stop(): Promise<void>;
  ended: Promise<void>;
  logTail(): string;
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const CRON = "* * * * *";

/** Calls one consumer keeps in flight here: the platform's limit of 6 waiting connections does not exist locally. */
const LOCAL_PUMP_WIDTH = "100";

/** The local bucket that imports may read, as `r2://DATA/…`. */
const LOCAL_R2_SOURCES = '{"DATA":{"binding":"DATA","projects":"*"}}';

/** Settings of the deployment that may be set from outside as they stand. */
const PASSED_ON = [
  "R2_SOURCES",
  "PUMP_WIDTH",
  "DEPLOYMENT_MAX_CONCURRENCY",
  "DEPLOYMENT_MAX_FLOWS",
  "RUN_RETENTION_DAYS",
  "BATCH_RETENTION_DAYS",
  "ENDPOINT_PORTS",
  "ALLOW_HTTP_ENDPOINTS",
];

/** The port is in use by another program. */
class PortInUse extends Error {
  constructor(port: number) {
    super(`port ${port} is in use; set PORT to another one, or stop the program that listens there`);
    this.name = "PortInUse";
  }
}

/**
 * Migrations, the Worker, its cron minutes, a project and a key.
 *
 * @throws PortInUse; StateDirInUse; Error with the runtime's log where the Worker does not start.
 */
export async function startDevServer(options: DevOptions): Promise<DevServer> {
  const port = options.port === 0 ? await freePort() : options.port;
  if (!(await isFree(port))) throw new PortInUse(port);
  const stateDir = resolve(options.stateDir);
  await lockStateDir(stateDir);
  const state = openStateDir(stateDir, options.adminToken);
  await ensureDashboard(root);
  await applyMigrations(root, state, options.signal);
  const worker = await startLocalWorker({ root, port, state, vars: variables(state), signal: options.signal });
  const clock = startCronClock(worker.url, CRON);
  worker.ended.then(clock.stop);
  try {
    const apiKey = await usableKey(worker, state);
    return { url: worker.url, apiKey, stop: worker.stop, ended: worker.ended, logTail: worker.logTail };
  } catch (error) {
    await worker.stop();
    throw new Error(`the Worker started but could not be set up: ${String(error)}\n${worker.logTail()}`);
  }
}

function variables(state: StateDir): Record<string, string> {
  const vars: Record<string, string> = {
    ENVIRONMENT: "development",
    ALLOW_LOOPBACK_ENDPOINTS: "true",
    PUMP_WIDTH: LOCAL_PUMP_WIDTH,
    R2_SOURCES: LOCAL_R2_SOURCES,
    ADMIN_TOKEN: state.adminToken,
    ENCRYPTION_KEYS: state.encryptionKeys,
  };
  for (const name of PASSED_ON) {
    const value = process.env[name];
    if (value !== undefined) vars[name] = value;
  }
  return vars;
}

/** The key of the last start while it works, else a new one. */
async function usableKey(worker: LocalWorker, state: StateDir): Promise<string> {
  const known = readText(state.apiKeyFile);
  if (known !== null && (await works(worker.url, known))) return known;
  const admin = createApi(worker.url, state.adminToken);
  const project = await defaultProject(admin);
  const made = await admin.post<{ key: string }>("/v1/api-keys", { project_id: project, name: "dev", scopes: ["*"] });
  writeSecret(state.apiKeyFile, made.key);
  return made.key;
}

async function works(url: string, key: string): Promise<boolean> {
  try {
    await createApi(url, key).get("/v1/jobs?limit=1");
    return true;
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 401) return false;
    throw error;
  }
}

async function defaultProject(admin: Api): Promise<string> {
  try {
    const made = await admin.post<{ id: string }>("/v1/projects", { name: "default", slug: "default" });
    return made.id;
  } catch (error) {
    if (!(error instanceof ApiFailure) || error.status !== 409) throw error;
  }
  for (let cursor = ""; ; ) {
    const page = await admin.get<{ data: { id: string; slug: string }[]; next_cursor: string | null }>(
      `/v1/projects?limit=200${cursor}`,
    );
    const found = page.data.find((project) => project.slug === "default");
    if (found) return found.id;
    if (page.next_cursor === null) throw new Error("the project `default` exists but is not listed");
    cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`;
  }
}
