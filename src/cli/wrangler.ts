import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Wrangler's own entry, without the wrapper process that its `bin` starts. */
function cli(): string {
  const manifest = createRequire(import.meta.url).resolve("wrangler/package.json");
  return join(dirname(manifest), "wrangler-dist", "cli.js");
}

/** No banner, no questions, no calls to the outside. */
const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
  NO_COLOR: "1",
  CI: "true",
});

const args = (rest: string[]): string[] => [
  "--no-warnings",
  "--import",
  join(here, "leave-with-parent.ts"),
  cli(),
  ...rest,
];

/**
 * Runs a wrangler command to its end.
 *
 * @throws Error with its output where it fails.
 */
export function runWrangler(root: string, command: string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args(command), { cwd: root, env: environment(), signal }, (error, stdout, stderr) => {
      if (error) reject(new Error(`wrangler ${command.slice(0, 3).join(" ")} failed:\n${stdout}${stderr}`));
      else resolve(stdout);
    });
  });
}
