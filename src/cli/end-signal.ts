import { commandOf, isAlive, parentOf } from "./process-tree.ts";

const PARENT_CHECK_MS = 250;

/**
 * Aborts when the user or the system wants this process to end: Ctrl-C, SIGTERM, a closed terminal, or the death of the
 * npm that ran it (which cannot pass on a SIGKILL).
 */
export function endSignal(): AbortSignal {
  const controller = new AbortController();
  const end = () => controller.abort(new Error("interrupted"));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, end);
  if (process.env.npm_lifecycle_event !== undefined) {
    const parent = process.ppid;
    // Where npm runs the script through a shell, the shell outlives it.
    const grandparent = parentOf(parent);
    const npm = /\bnpm\b/.test(commandOf(grandparent)) ? grandparent : parent;
    const check = () => {
      if (process.ppid !== parent || !isAlive(npm)) end();
    };
    setInterval(check, PARENT_CHECK_MS).unref();
  }
  return controller.signal;
}
