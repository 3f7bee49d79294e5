import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { writeSecret } from "./state-dir.ts";

/** What `local-runtime.ts` reads from the file that its argument names. */
export interface LocalRuntimeSettings {
  /** A wrangler configuration. */
  configFile: string;
  /** Go before the variables of the configuration. */
  vars: Record<string, string>;
  /** On 127.0.0.1. */
  port: number;
  /** Of the data, the bundle, and what the runtime says to other Workers of this machine that look there. */
  stateDir: string;
}

/** Starts the runtime as a process that ends with this one; its output goes to `log`, an open file. */
export function spawnLocalRuntime(settings: LocalRuntimeSettings, log: number): ChildProcess {
  // A file, for its owner alone: arguments stand in the process list.
  const file = join(settings.stateDir, "runtime.json");
  writeSecret(file, JSON.stringify(settings));
  const script = (name: string): string => join(import.meta.dirname, name);
  return spawn(
    process.execPath,
    ["--no-warnings", "--import", script("leave-with-parent.ts"), script("local-runtime.ts"), file],
    {
      env: { ...process.env, CLOUDFLARE_CF_FETCH_ENABLED: "false", NO_COLOR: "1", CI: "true" },
      stdio: ["ignore", log, log],
    },
  );
}
