import { chmod } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { buildDashboard } from "./dashboard-build.ts";

/** `npm run build`: what is published of the source, into `dist/`: the command line, the typed client and the dashboard. */

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const dist = join(root, "dist");

async function bundle(name: string, source: string, target: string): Promise<void> {
  await build({
    root,
    configFile: false,
    publicDir: false,
    logLevel: "warn",
    ssr: { noExternal: true },
    build: {
      ssr: join(root, "src", source),
      target,
      outDir: dist,
      emptyOutDir: false,
      rolldownOptions: { output: { entryFileNames: `${name}.js`, codeSplitting: false } },
    },
  });
}

await bundle("sluice", "cli/sluice.ts", "node20");
await chmod(join(dist, "sluice.js"), 0o755);
// It runs anywhere that has `fetch`: a browser, a Worker, Node.
await bundle("client", "client/client.ts", "es2022");
await buildDashboard(root);
