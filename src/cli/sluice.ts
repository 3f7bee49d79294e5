#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { SluiceError, SluiceUnreachable } from "../client/client.ts";
import { login, logout, whoami } from "./commands/account.ts";
import { batchItems, batchResults, getBatch, listBatches, steerBatch } from "./commands/batches.ts";
import { bulkFile } from "./commands/bulk.ts";
import { type CommonOptions, type Context, contextOf, EXIT } from "./commands/context.ts";
import { createJob, getJob, listJobs, setPaused, updateJob } from "./commands/jobs.ts";
import { cancelRun, getRun, listRuns, replayRun, tail } from "./commands/runs.ts";
import { trigger } from "./commands/trigger.ts";
import { watchBatch } from "./commands/watch-batch.ts";
import { BadFile } from "./item-file.ts";
import { Printer } from "./printer.ts";
import { NotLoggedIn } from "./profile.ts";

const interrupt = new AbortController();
process.on("SIGINT", () => interrupt.abort(new Error("interrupted")));
// A reader that has seen enough, such as `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) =>
  process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.error),
);

const wholeNumber = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("expected a whole number");
  return Number(text);
};
const collected = (text: string, before: string[] = []): string[] => [...before, text];

const program = new Command("sluice")
  .description("Calls an HTTP endpoint once for every item of a list.")
  .version("0.1.0")
  .option("--json", "print JSON, and nothing else, on standard output")
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

const common = (): CommonOptions => program.opts<CommonOptions>();
let exitCode: number = EXIT.ok;

/** Runs a command as the one who is logged in. */
const withContext =
  <A extends unknown[]>(command: (context: Context, ...args: A) => Promise<number>) =>
  async (...args: [...A, ...unknown[]]): Promise<void> => {
    exitCode = await command(contextOf(common(), interrupt.signal), ...(args as unknown as A));
  };

program
  .command("login")
  .description("keep the address and the API key that further commands use")
  .requiredOption("--url <address>", "where Sluice is")
  .requiredOption("--key <key>", "an API key")
  .action(async (options: { url: string; key: string }) => {
    exitCode = await login({ ...common(), ...options });
  });
program
  .command("logout")
  .description("forget them")
  .action(() => {
    exitCode = logout(common());
  });
program.command("whoami").description("who the key belongs to").action(withContext(whoami));

const limit = () => new Option("--limit <n>", "rows at most").argParser(wholeNumber).default(50);
const jobs = program.command("jobs").description("list, show, create, change, pause and resume jobs");
jobs
  .command("list")
  .description("jobs, newest first")
  .option("--q <text>", "found in name, slug or description")
  .addOption(limit())
  .action(withContext(listJobs));
jobs
  .command("get")
  .argument("<job>", "slug or id")
  .description("a job, and what holds it back")
  .action(withContext(getJob));
jobs
  .command("create")
  .argument("<field=value...>", "such as name=Orders endpoint_url=https://… max_concurrency=20")
  .description("make a job")
  .action(withContext(createJob));
jobs
  .command("update")
  .argument("<job>", "slug or id")
  .argument("<field=value...>", "such as max_concurrency=5")
  .description("change a job")
  .action(withContext(updateJob));
for (const [name, isPaused] of [
  ["pause", true],
  ["resume", false],
] as const) {
  jobs
    .command(name)
    .argument("<job>", "slug or id")
    .description(isPaused ? "start nothing any more" : "go on")
    .action(withContext((context: Context, job: string) => setPaused(context, job, isPaused)));
}

program
  .command("trigger")
  .argument("<job>", "slug or id")
  .argument("[payload]", "JSON; {} where it is left out")
  .option("--key <key>", "the item's idempotency key")
  .option("--priority <n>", "0 to 10, higher first", wholeNumber)
  .option("--at <time>", "when it may start, RFC 3339")
  .option("--dry-run", "say what would happen, and do nothing")
  .option("--watch", "wait for its end")
  .description("start one run")
  .action(withContext(trigger));

program
  .command("bulk")
  .argument("<job>", "slug or id")
  .argument("<file>", "NDJSON (an item a line) or CSV (a payload a row), also .gz; - for standard input")
  .option("--watch", "show it going on, to its end")
  .option("--key <key>", "names the upload: the same one goes on where it stopped")
  .option("--raw", "each line is a payload, not an item")
  .addOption(new Option("--format <format>", "where the name does not tell").choices(["ndjson", "csv"]))
  .option("--separator <character>", "between the cells of CSV")
  .option("--idempotency-field <field>", "field of the payload that becomes the item's idempotency_key")
  .option("--concurrency-field <field>", "field of the payload that becomes the item's concurrency_key")
  .option("--max-concurrency <n>", "calls at once of this batch", wholeNumber)
  .description("start a run for every item of a file")
  .action(withContext(bulkFile));

const batch = program.command("batch").description("list, watch and steer batch operations, get their results");
batch
  .command("list")
  .option("--job <job>", "of this job")
  .option("--status <status>", "of this status; may be given several times", collected)
  .addOption(limit())
  .description("batch operations, newest first")
  .action(withContext(listBatches));
batch.command("get").argument("<id>").description("how far it is").action(withContext(getBatch));
batch.command("watch").argument("<id>").description("show it going on, to its end").action(withContext(watchBatch));
for (const [how, description] of [
  ["cancel", "what waits is canceled, what executes finishes"],
  ["pause", "nothing more of it starts"],
  ["resume", "it goes on"],
] as const) {
  batch
    .command(how)
    .argument("<id>")
    .description(description)
    .action(withContext((context: Context, id: string) => steerBatch(context, id, how)));
}
batch
  .command("results")
  .argument("<id>")
  .option("--status <status>", "only of this status")
  .option("--after <index>", "only items behind this index", wholeNumber)
  .description("every outcome as NDJSON, in index order")
  .action(withContext(batchResults));
batch
  .command("items")
  .argument("<id>")
  .addOption(new Option("--outcome <outcome>").choices(["created", "duplicate", "rejected"]))
  .addOption(limit())
  .description("what became of each item when it was taken in")
  .action(withContext(batchItems));

const runFilter = (command: Command): Command =>
  command
    .option("--job <job>", "of this job")
    .option("--batch <id>", "of this batch operation")
    .option("--status <status>", "of this status; may be given several times", collected);
const runs = program.command("runs").description("list, show, cancel and replay runs");
runFilter(runs.command("list")).addOption(limit()).description("runs, newest first").action(withContext(listRuns));
runs.command("get").argument("<id>").description("a run and its attempts").action(withContext(getRun));
runs.command("cancel").argument("<id>").description("cancel a run").action(withContext(cancelRun));
runs.command("replay").argument("<id>").description("run it once more").action(withContext(replayRun));
runFilter(program.command("tail")).description("runs as they start and end, until Ctrl-C").action(withContext(tail));

/** Says what went wrong, to people in words and to programs as JSON. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (interrupt.signal.aborted) return EXIT.interrupted;
  const printer = new Printer(common().json ?? false);
  if (printer.isJson) printer.show({ error: describe(error) }, () => "");
  printer.note(textOf(error));
  return error instanceof NotLoggedIn || error instanceof SyntaxError ? EXIT.usage : EXIT.error;
}

const describe = (error: unknown) =>
  error instanceof SluiceError
    ? {
        code: error.code,
        status: error.status,
        message: error.message,
        details: error.details,
        request_id: error.requestId,
      }
    : { code: error instanceof SluiceUnreachable ? "unreachable" : "failed", message: textOf(error) };

function textOf(error: unknown): string {
  if (error instanceof SluiceError) {
    const details = error.details.map(({ path, message }) => `  ${path}: ${message}`);
    return [`${error.message} (${error.code}, request ${error.requestId ?? "unknown"})`, ...details].join("\n");
  }
  if (error instanceof SluiceUnreachable || error instanceof BadFile || error instanceof NotLoggedIn)
    return error.message;
  return error instanceof Error ? error.message : String(error);
}

try {
  await program.parseAsync();
} catch (error) {
  exitCode = report(error);
}
process.exitCode = exitCode;
