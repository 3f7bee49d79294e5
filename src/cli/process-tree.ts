import { execFileSync, spawnSync } from "node:child_process";

/** A process and its parent, by id. */
interface Link {
  pid: number;
  ppid: number;
}

/** The lines of `ps -eo pid=,ppid=`. */
export function parseProcessTable(text: string): Link[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([pid, ppid]) => (pid && ppid !== undefined ? [{ pid, ppid }] : []));
}

/** Every process below `root`, children before grandchildren; `root` itself is left out. */
export function descendantsIn(table: Link[], root: number): number[] {
  const found: number[] = [];
  for (let level = [root]; level.length > 0; ) {
    const parents = new Set(level);
    level = table.filter((p) => parents.has(p.ppid)).map((p) => p.pid);
    found.push(...level);
  }
  return found;
}

const processTable = (): Link[] => parseProcessTable(execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" }));

/** Every process below `root` now. */
export const descendants = (root: number): number[] => descendantsIn(processTable(), root);

/** 1 for a process that is not there. */
export const parentOf = (pid: number): number => processTable().find((p) => p.pid === pid)?.ppid ?? 1;

/** Every process that was started with this argument. */
export function startedWith(argument: string): number[] {
  const lines = execFileSync("ps", ["-eo", "pid=,args="], { encoding: "utf8" }).split("\n");
  return lines
    .filter((line) => line.trim().split(/\s+/).slice(2).includes(argument))
    .map((line) => Number.parseInt(line, 10));
}

/** The command line of a process; empty where it is not there. */
export function commandOf(pid: number): string {
  const { stdout } = spawnSync("ps", ["-o", "args=", "-p", String(pid)], { encoding: "utf8" });
  return stdout.trim();
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** SIGKILL; a process that has gone already is what was wanted. */
export function killHard(pids: number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has gone.
    }
  }
}
