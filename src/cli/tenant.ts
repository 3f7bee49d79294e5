import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { ensureDashboard } from "./dashboard-build.ts";
import { endSignal } from "./end-signal.ts";
import { renderTable } from "./table.ts";
import { Tenants } from "./tenants.ts";
import { runWrangler } from "./wrangler.ts";
import { readWranglerConfig } from "./wrangler-config.ts";

/** `npm run tenant -- create|deploy|migrate|list`. TENANTS_DIR (`.state/tenants`) is where they are kept. */

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const signal = endSignal();

const tenants = (options: { dryRun?: boolean }): Tenants =>
  new Tenants({
    root,
    folder: resolve(process.env.TENANTS_DIR ?? join(root, ".state", "tenants")),
    config: readWranglerConfig(root),
    wrangler: (args) => runWrangler(root, args, signal),
    say: (line) => console.log(line),
    dryRun: options.dryRun ?? false,
  });

const program = new Command("tenant").description("deployments of Sluice side by side, one a tenant").exitOverride();
const verbs = {
  create: "make a tenant's database, queues, buckets and secrets, and deploy it; goes on after a failure",
  deploy: "bring a tenant's tables and Worker up to date",
  migrate: "bring a tenant's tables up to date",
} as const;
for (const verb of Object.keys(verbs) as (keyof typeof verbs)[]) {
  program
    .command(verb)
    .argument("<name>")
    .option("--dry-run", "print every step, and change nothing")
    .description(verbs[verb])
    .action(async (name: string, options: { dryRun?: boolean }) => {
      if (verb !== "migrate" && !options.dryRun) await ensureDashboard(root);
      await tenants(options)[verb](name);
    });
}
program
  .command("list")
  .option("--dry-run", "the same: a list changes nothing")
  .description("the tenants that were created from here")
  .action(() => {
    const rows = tenants({}).list();
    if (rows.length === 0) console.log("There are no tenants");
    else
      console.log(
        renderTable(
          ["tenant", "Worker", "database"],
          rows.map((r) => [r.name, r.worker, r.database_id ?? "-"]),
        ),
      );
  });

try {
  await program.parseAsync();
  process.exit(0);
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
