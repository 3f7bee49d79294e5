import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { context } from "esbuild";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare, type MiniflareOptions } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";
import type { LocalRuntimeSettings } from "./spawn-runtime.ts";

/**
 * A process of its own: a Worker in the runtime of `wrangler dev`, bundled as wrangler bundles it and again when a source
 * changes, without the proxy that wrangler puts before it. That proxy keeps connections to the runtime and takes one that
 * is just being closed: the request is lost (500 "Network connection lost"), and a client that hangs up ends the session.
 */
const settings = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as LocalRuntimeSettings;
const { configFile, stateDir } = settings;
const config = unstable_readConfig({ config: configFile });
if (config.main === undefined) throw new Error(`${configFile} names no main module`);
const bundle = join(stateDir, "bundle", "index.js");

/** Where wrangler's proxy lets a Cron Trigger be fired too: its older addresses, which manuals name. */
const cronAddresses = {
  name: "cron-addresses",
  routes: ["*/cdn-cgi/handler/scheduled*", "*/cdn-cgi/mf/scheduled*"],
  compatibilityDate: config.compatibility_date,
  modules: true as const,
  script: `export default {
    fetch(request) {
      return fetch(new URL("/cdn-cgi/local/scheduled" + new URL(request.url).search, "http://127.0.0.1:${settings.port}"));
    },
  };`,
};

function options(): MiniflareOptions {
  // A new boot tells the coordinators that every consumer of the one before is dead.
  const vars = { ...config.vars, ...settings.vars, BOOT_ID: randomUUID() };
  const { workerOptions, externalWorkers } = unstable_getMiniflareWorkerOptions({ ...config, vars });
  const modules = [{ type: "ESModule" as const, path: bundle }];
  return convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: settings.port,
    rootPath: stateDir,
    log: new Log(LogLevel.WARN),
    logRequests: false,
    unsafeTriggerHandlers: true,
    unsafeDevRegistryPath: join(stateDir, "registry"),
    resourcePersistencePath: join(stateDir, "v3"),
    workers: [
      { ...workerOptions, name: config.name, modulesRoot: dirname(bundle), modules },
      cronAddresses,
      ...externalWorkers,
    ],
  });
}

let runtime: Miniflare | undefined;

async function serve(): Promise<void> {
  if (runtime === undefined) runtime = new Miniflare(options());
  else await runtime.setOptions(options());
  await runtime.ready;
}

const bundling = await context({
  entryPoints: [config.main],
  outfile: bundle,
  bundle: true,
  format: "esm",
  target: "es2024",
  conditions: ["workerd", "worker", "browser"],
  external: ["cloudflare:*", "node:*"],
  define: { "navigator.userAgent": '"Cloudflare-Workers"', "process.env.NODE_ENV": '"development"' },
  keepNames: true,
  sourcemap: true,
  logLevel: "warning",
  plugins: [
    {
      name: "serve",
      setup: ({ onEnd }) => onEnd(({ errors }) => (errors.length === 0 ? serve() : undefined)),
    },
  ],
});
await bundling.watch();

process.once("SIGTERM", async () => {
  await bundling.dispose();
  await runtime?.dispose();
  process.exit(0);
});
