import { closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../src/cli/port.ts";
import { descendants, killHard } from "../../src/cli/process-tree.ts";
import { spawnWrangler } from "../../src/cli/wrangler.ts";

export interface Ceiling {
  url: string;
  stop(): void;
}

/** Starts the bare Worker under `wrangler dev`, as Sluice is started. */
export async function startCeiling(root: string): Promise<Ceiling> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "sluice-ceiling-"));
  const logFile = join(folder, "log");
  const log = openSync(logFile, "w");
  const config = join(import.meta.dirname, "ceiling.toml");
  const where = ["--ip", "127.0.0.1", "--port", String(port), "--inspector-port", "0", "--persist-to", folder];
  const quiet = ["--show-interactive-dev-session=false", "--log-level", "warn"];
  const child = spawnWrangler(root, ["dev", "-c", config, ...where, ...quiet], folder, log);
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
