import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readText, type StateDir } from "./state-dir.ts";
import { runWrangler } from "./wrangler.ts";

/**
 * Brings the local database up to date before the Worker starts (the two must not share the files). Asking wrangler takes
 * seconds, so a start with the migrations of the last one does not ask.
 *
 * @throws Error with wrangler's output.
 */
export async function applyMigrations(root: string, state: StateDir, signal: AbortSignal): Promise<void> {
  const wanted = fingerprint(join(root, "migrations"));
  if (readText(state.migrationsFile) === wanted) return;
  await runWrangler(root, ["d1", "migrations", "apply", "sluice", "--local", "--persist-to", state.path], signal);
  writeFileSync(state.migrationsFile, `${wanted}\n`);
}

function fingerprint(folder: string): string {
  const hash = createHash("sha256");
  for (const file of readdirSync(folder).sort()) hash.update(`${file}\n`).update(readFileSync(join(folder, file)));
  return hash.digest("hex");
}
