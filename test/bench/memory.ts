import { readFileSync } from "node:fs";

const MIB = 1024;

/** Proportional set size of the processes together, in MiB. */
export function pssMiB(pids: number[]): number {
  return pids.reduce((sum, pid) => sum + pssOf(pid), 0) / MIB;
}

function pssOf(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0; // It has gone.
  }
}

/** Samples the processes until it is stopped; answers the peak in MiB. */
export function watchMemory(pids: number[]): { stop(): number } {
  let peak = pssMiB(pids);
  const timer = setInterval(() => {
    peak = Math.max(peak, pssMiB(pids));
  }, 50);
  return {
    stop: () => {
      clearInterval(timer);
      return Math.max(peak, pssMiB(pids));
    },
  };
}
