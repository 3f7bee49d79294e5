import { readFile } from "node:fs/promises";
import type { Import, ImportFile, ImportProgress, NewImport } from "../../client/client.ts";
import { BadFile } from "../item-file.ts";
import { type Progress, progressView } from "../progress-bar.ts";
import { writeLines } from "../write-lines.ts";
import { type Context, EXIT, firstRows } from "./context.ts";

const percent = (share: number): string => `${Math.floor(share * 100)} %`;

const columns = {
  id: (one: Import) => one.id,
  job: (one: Import) => one.job,
  status: (one: Import) => one.status,
  done: (one: Import) => percent(one.percent_complete),
  rows: (one: Import) => one.rows.delivered,
  rejected: (one: Import) => one.rows.rejected,
  source: (one: Import) => one.source.url,
  created: (one: Import) => one.created_at,
};

export interface NewImportOptions {
  file?: string;
  name?: string;
  endpoint?: string;
  region?: string;
  credential?: string;
  regex?: string;
  transform?: string;
  delivery?: string;
  cron?: string;
  onError?: string;
  dryRun?: boolean;
  force?: boolean;
  watch?: boolean;
}

/** What is given on the command line goes before what stands in the file. */
export async function createImport(
  context: Context,
  job: string | undefined,
  url: string | undefined,
  options: NewImportOptions,
): Promise<number> {
  const body = await bodyOf(job, url, options);
  const made = await context.client.imports.create(body);
  context.printer.line(made, () => `${made.id}: ${made.source.url} into ${made.job}, ${made.status}`);
  return options.watch ? watchImport(context, made.id) : EXIT.ok;
}

async function bodyOf(job: string | undefined, url: string | undefined, o: NewImportOptions): Promise<NewImport> {
  const written = o.file === undefined ? {} : await readObject(o.file);
  const source = given({ url, endpoint: o.endpoint, region: o.region, credential_id: o.credential });
  const settings = given({ dry_run: o.dryRun });
  const body = {
    ...written,
    ...given({
      ...{ job, name: o.name, regex_filter: o.regex, transform: o.transform, delivery: o.delivery, cron: o.cron },
      ...{ on_error: o.onError, force: o.force },
    }),
    source: { ...(written.source as object | undefined), ...source },
    ...(written.settings || o.dryRun ? { settings: { ...(written.settings as object | undefined), ...settings } } : {}),
  } as unknown as NewImport;
  if (!body.job || !body.source.url)
    throw new SyntaxError("say which job and which source: sluice import create <job> <url>, or --file <import.json>");
  return body;
}

const given = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

async function readObject(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new BadFile(`${path}: ${error.code === "ENOENT" ? "there is no such file" : String(error)}`);
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BadFile(`${path} is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadFile(`${path}: expected one JSON object, as POST /v1/imports takes it`);
  return value as Record<string, unknown>;
}

export async function listImports(
  { client, printer }: Context,
  options: { limit: number; job?: string; status?: string },
): Promise<number> {
  const job_id = options.job === undefined ? undefined : (await client.jobs.get(options.job)).id;
  const filter = { job_id, status: options.status } as Parameters<typeof client.imports.list>[0];
  printer.table(await firstRows(client.imports.list(filter), options.limit), columns, "There are no such imports");
  return EXIT.ok;
}

export async function getImport({ client, printer }: Context, id: string): Promise<number> {
  const found = await client.imports.get(id);
  printer.fields(found, {
    id: found.id,
    status: found.status,
    job: found.job,
    source: found.source.url,
    filter: found.regex_filter,
    done: percent(found.percent_complete),
    files: `${found.files.done} of ${found.files.total}, ${found.files.failed} failed, ${found.files.skipped} skipped`,
    rows: `${found.rows.delivered} delivered, ${found.rows.rejected} rejected`,
    batch: found.batch_id,
    errors: found.errors.length === 0 ? null : found.errors.join("; "),
    warnings: found.warnings.length === 0 ? null : found.warnings.join("; "),
    ...(found.sample.length === 0 ? {} : { sample: found.sample[0] }),
  });
  return EXIT.ok;
}

export type ImportSteering = "cancel" | "pause" | "resume" | "retry";

export async function steerImport({ client, printer }: Context, id: string, how: ImportSteering): Promise<number> {
  const changed = await client.imports[how](id);
  printer.show(changed, () => summaryOf(changed));
  return EXIT.ok;
}

export async function removeImport({ client, printer }: Context, id: string): Promise<number> {
  await client.imports.remove(id);
  printer.show({ id, deleted: true }, () => `Deleted ${id}`);
  return EXIT.ok;
}

export async function importFiles(
  { client, printer }: Context,
  id: string,
  options: { limit: number },
): Promise<number> {
  printer.table(
    await firstRows(client.imports.files(id), options.limit),
    {
      key: (file: ImportFile) => file.key,
      size: (file) => file.size,
      status: (file) => file.status,
      rows: (file) => file.rows,
      rejects: (file) => file.rejects,
      error: (file) => file.error,
    },
    "There are no files",
  );
  return EXIT.ok;
}

/** NDJSON, with or without `--json`: rejects are for programs. */
export async function importRejects({ client }: Context, id: string): Promise<number> {
  await writeLines(client.imports.rejects(id));
  return EXIT.ok;
}

const progressOf = ({ bytes, files, rows }: ImportProgress, elapsedMs: number): Progress => ({
  done: bytes.done,
  total: bytes.total,
  counts: {
    files: files.done,
    "rows delivered": rows.delivered,
    rejected: rows.rejected,
    "files failed": files.failed,
  },
  elapsedMs,
});

/**
 * Shows an import going on, until everything is read and handed over; its runs are its batch operation's. A bar on a
 * terminal, plain lines elsewhere, events as JSON lines with `--json`.
 */
export async function watchImport({ client, printer, signal }: Context, id: string): Promise<number> {
  const startedAt = performance.now();
  const view = progressView(process.stderr, "B");
  let last = null as Import | null;
  for await (const event of client.imports.watch(id, { signal })) {
    if (event.event === "import_state") last = event.import;
    const progress = event.event === "import_state" ? event.import : event.progress;
    if (printer.isJson) printer.line({ event: event.event, ...progress }, () => "");
    else view.show(progressOf(progress, performance.now() - startedAt));
  }
  if (last === null) throw new Error("the import said nothing");
  if (!printer.isJson) {
    view.end();
    printer.show(last, () => summaryOf(last as Import));
  }
  return last.status === "done" ? EXIT.ok : EXIT.unsuccessful;
}

function summaryOf(one: Import): string {
  const files = [`${one.files.done} of ${one.files.total} files`];
  if (one.files.failed > 0) files.push(`${one.files.failed} failed`);
  if (one.files.skipped > 0) files.push(`${one.files.skipped} skipped`);
  return [
    `${one.id} ${one.status.replaceAll("_", " ")}: ${files.join(", ")}; ${one.rows.delivered} rows delivered, ${one.rows.rejected} rejected`,
    ...one.errors,
    ...one.warnings,
    ...(one.batch_id === null ? [] : [`its runs: sluice batch watch ${one.batch_id}`]),
    ...(one.rows.rejected > 0 ? [`what was rejected: sluice import rejects ${one.id}`] : []),
    ...(one.files.failed > 0 ? [`which files failed: sluice import files ${one.id}`] : []),
  ].join("\n");
}
