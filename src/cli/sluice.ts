#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { SluiceError, SluiceUnreachable } from "../client/client.ts";
import { login, logout, whoami } from "./commands/account.ts";
import { batchItems, batchResults, getBatch, listBatches, retryFailed, steerBatch } from "./commands/batches.ts";
import { bulkFile } from "./commands/bulk.ts";
import { type CommonOptions, type Context, contextOf, EXIT } from "./commands/context.ts";
import {
  createImport,
  getImport,
  importFiles,
  importRejects,
  listImports,
  removeImport,
  steerImport,
  watchImport,
} from "./commands/imports.ts";
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
  .showSuggestionAfterError()
  .addHelpText(
    "after",
    `
Exit codes:
  0    all went well
  1    refused, unreachable, or a bad file
  2    a wrong command line, or nobody is logged in
  3    what was watched or sent ended, and not all of it well
  130  interrupted by Ctrl-C

Environment:
  SLUICE_URL, SLUICE_KEY  go before what login kept
  SLUICE_CONFIG           the file where login keeps them

A first bulk:
  sluice login --url https://sluice.example.com --key sluice_…
  sluice jobs create name=Orders endpoint_url=https://example.com/orders max_concurrency=20
  sluice bulk orders orders.csv --watch`,
  )
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
  .command("retry-failed")
  .argument("<id>")
  .option("--watch", "show it going on, to its end")
  .option("--key <key>", "an idempotency key: with the same one it is done once")
  .description("run what failed of a finished one again, as a new batch operation")
  .action(withContext(retryFailed));
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

const imports = program.command("import").description("load the objects of a bucket into a job, watch and steer that");
imports
  .command("create")
  .argument("[job]", "slug or id")
  .argument("[url]", "s3://bucket, s3://bucket/folder/, s3://bucket/object, or r2://NAME/prefix")
  .option("--file <import.json>", "an import as the API takes it; what else is given goes before it")
  .option("--name <name>", "what to call it")
  .option("--endpoint <url>", "of a store that is not Amazon's")
  .option("--region <region>", "of the store")
  .option("--credential <id>", "a credential's id; without, requests are not signed")
  .option("--regex <pattern>", "only objects whose s3://bucket/key it is found in (RE2)")
  .option("--transform <name>", "how rows become payloads")
  .addOption(new Option("--delivery <how>", "a run per what").choices(["row", "partition", "file"]))
  .option("--cron <expression>", "repeat it, and load what is new; five fields, UTC")
  .addOption(new Option("--on-error <how>", "at a bad row").choices(["abort", "skip_row", "skip_file"]))
  .option("--dry-run", "read everything, deliver nothing, show the first rows")
  .option("--force", "objects too that the job has imported before")
  .option("--watch", "show it going on, until everything is handed over")
  .description("begin an import")
  .action(withContext(createImport));
imports
  .command("list")
  .option("--job <job>", "of this job")
  .option("--status <status>", "of this status")
  .addOption(limit())
  .description("imports, newest first")
  .action(withContext(listImports));
imports.command("get").argument("<id>").description("how far it is").action(withContext(getImport));
imports
  .command("watch")
  .argument("<id>")
  .description("show it going on, until everything is handed over")
  .action(withContext(watchImport));
for (const [how, description] of [
  ["pause", "nothing more is read"],
  ["resume", "it goes on"],
  ["cancel", "nothing more is read, for good; what was handed over goes on"],
  ["retry", "files that failed are read on where they broke off"],
] as const) {
  imports
    .command(how)
    .argument("<id>")
    .description(description)
    .action(withContext((context: Context, id: string) => steerImport(context, id, how)));
}
imports
  .command("files")
  .argument("<id>")
  .addOption(limit())
  .description("what became of each object")
  .action(withContext(importFiles));
imports
  .command("rejects")
  .argument("<id>")
  .description("every row that was not delivered, as NDJSON")
  .action(withContext(importRejects));
imports
  .command("delete")
  .argument("<id>")
  .description("with its files and rejects; its batch operation stays")
  .action(withContext(removeImport));

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
    // One alone is the message itself.
    const details = error.details.length < 2 ? [] : error.details.map(({ path, message }) => `  ${path}: ${message}`);
    const advice =
      error.status === 401 ? ["  the key is wrong, revoked or expired: sluice login with another one"] : [];
    return [`${error.message} (${error.code}, request ${error.requestId ?? "unknown"})`, ...details, ...advice].join(
      "\n",
    );
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
