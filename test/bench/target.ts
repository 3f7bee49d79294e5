import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { TargetStats } from "./target-server.ts";

export interface Target {
  url: string;
  reset(): Promise<void>;
  stats(): Promise<TargetStats>;
  /** Without the arrivals: cheap enough to ask often. */
  brief(): Promise<TargetStats>;
  stop(): void;
}

/** Starts the endpoint in a process of its own, which ends with this one. */
export async function startTarget(): Promise<Target> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "target-server.ts")], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  if (!child.stdout) throw new Error("the endpoint has no output");
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const url = line.toString().trim();
  const ask = async (path: string) => (await fetch(url + path)).json();
  return {
    url,
    reset: async () => {
      await ask("/__reset");
    },
    stats: async () => (await ask("/__stats")) as TargetStats,
    brief: async () => (await ask("/__stats?brief")) as TargetStats,
    stop: () => child.kill(),
  };
}
