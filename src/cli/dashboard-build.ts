import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** The dashboard, from `src/dashboard` into `dist/dashboard`, which the Worker serves as static assets. */

export async function buildDashboard(root: string): Promise<void> {
  // It takes longer to load than everything else here, and most starts have no need of it.
  const { build } = await import("vite");
  await build({
    root: join(root, "src/dashboard"),
    configFile: false,
    logLevel: "warn",
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
      outDir: join(root, "dist/dashboard"),
      emptyOutDir: true,
      target: "es2023",
      modulePreload: false,
      // A data: URL would be one more thing for the policy to allow.
      assetsInlineLimit: 0,
    },
  });
}

/** Builds it where it was never built, or its sources have changed since: wrangler will not start without it. */
export async function ensureDashboard(root: string): Promise<void> {
  const page = join(root, "dist/dashboard/index.html");
  const builtAt = existsSync(page) ? statSync(page).mtimeMs : 0;
  if (["dashboard", "client", "domain"].some((folder) => newest(join(root, "src", folder)) > builtAt))
    await buildDashboard(root);
}

const newest = (folder: string): number =>
  Math.max(
    ...readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => statSync(join(folder, name)).mtimeMs),
  );
