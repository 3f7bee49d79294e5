import { closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../src/cli/port.ts";
import { descendants, killHard } from "../../src/cli/process-tree.ts";
import { spawnLocalRuntime } from "../../src/cli/spawn-runtime.ts";

export interface Ceiling {
  url: string;
  stop(): void;
}

/** Starts the bare Worker in the local runtime, as Sluice is started. */
export async function startCeiling(): Promise<Ceiling> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "sluice-ceiling-"));
  const logFile = join(folder, "log");
  const log = openSync(logFile, "w");
  const configFile = join(import.meta.dirname, "ceiling.toml");
  const child = spawnLocalRuntime({ configFile, vars: {}, port, stateDir: folder }, log);
  closeSync(log);
  const url = `http://127.0.0.1:${port}`;
  while (!(await isUp(url))) {
    if (child.exitCode !== null) throw new Error(`the bare Worker did not start:\n${readFileSync(logFile, "utf8")}`);
    await sleep(50);
  }
  return { url, stop: () => killHard([...descendants(child.pid ?? 0), child.pid ?? 0]) };
}

async function isUp(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false; // Not listening yet.
  }
}
