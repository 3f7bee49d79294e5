import { createRoute } from "@hono/zod-openapi";
import { resolveProject } from "../../operations/authorize.ts";
import { createImport } from "../../operations/import-creation.ts";
import { watchImport } from "../../operations/import-watch.ts";
import * as operations from "../../operations/imports.ts";
import { creates, resumable, secured } from "../auth.ts";
import type { App } from "../context.ts";
import { pageAnswer, pageRequest } from "../list.ts";
import { ndjsonResponse } from "../ndjson.ts";
import { traceOf } from "../request.ts";
import { BY_INDEX, scannedAnswer } from "../scanned-list.ts";
import { sseResponse } from "../sse.ts";
import { errors, idParam, json, jsonBody, listParams, projectQuery, strictQuery } from "../wire/common.ts";
import { eventStream } from "../wire/events.ts";
import {
  createImportBody,
  fileToWire,
  importEventToSse,
  importFileList,
  importList,
  importsQuery,
  importToWire,
  importWire,
  wantedImport,
} from "../wire/imports.ts";
import { RawJson, rawJson } from "../wire/raw-json.ts";
import { ndjson } from "../wire/results.ts";

const tags = ["Imports"];
const request = { params: idParam("import"), query: projectQuery };

const create = createRoute({
  method: "post",
  path: "/v1/imports",
  tags,
  summary: "Import the objects of a bucket",
  description: "They become a batch operation of the job: a run per row, per partition of rows, or per object.",
  ...creates("jobs:trigger"),
  request: { body: jsonBody(createImportBody) },
  responses: { 201: json(importWire, "The import, begun"), ...errors(400, 404, 409, 413, 415, 422) },
});

const list = createRoute({
  method: "get",
  path: "/v1/imports",
  tags,
  summary: "List imports",
  description: "Newest first, from a copy that is some seconds behind at most. Without samples.",
  ...secured("runs:read"),
  request: { query: importsQuery },
  responses: { 200: json(importList, "Imports, newest first"), ...errors(400, 404, 422) },
});

const get = createRoute({
  method: "get",
  path: "/v1/imports/{id}",
  tags,
  summary: "Get an import",
  description: "Never behind.",
  ...secured("runs:read"),
  request,
  responses: { 200: json(importWire, "The import"), ...errors(404, 422) },
});

const files = createRoute({
  method: "get",
  path: "/v1/imports/{id}/files",
  tags,
  summary: "List the files of an import",
  description: "Every object that passed the filter, in the order of the listing; while the import runs, too.",
  ...secured("runs:read"),
  request: { params: idParam("import"), query: strictQuery(listParams) },
  responses: { 200: json(importFileList, "Files, in the order of the listing"), ...errors(400, 404, 422) },
});

const rejects = createRoute({
  method: "get",
  path: "/v1/imports/{id}/rejects",
  tags,
  summary: "Download the rejects of an import",
  description:
    "NDJSON: `{file, line, byte_offset, reason, raw}` for each row that was not delivered, `raw` cut at 4 KiB; while the import " +
    "runs, those so far. `line` is null while only a later range of a split object has been read.",
  ...secured("runs:read"),
  request,
  responses: {
    200: ndjson("One reject a line"),
    ...errors(404, 422),
  },
});

const events = createRoute({
  method: "get",
  path: "/v1/imports/{id}/events",
  tags,
  summary: "Watch an import",
  description:
    "Server-sent events. `import_state` at once and at every change of status, its data the import; `import_progress`, at most four " +
    "a second, its data the counts. The stream ends after the final `import_state`. `Last-Event-ID` resumes: where it names " +
    "the final state the answer is 204.",
  ...secured("runs:read"),
  ...resumable(),
  request,
  responses: {
    200: eventStream("`import_state` and `import_progress`"),
    204: { description: "The final state has been seen" },
    ...errors(404, 422),
  },
});

const cancel = createRoute({
  method: "post",
  path: "/v1/imports/{id}/cancel",
  tags,
  summary: "Cancel an import",
  description:
    "Nothing more is read, and one with a cron repeats no more. What has been handed over goes on: cancel its batch operation to " +
    "stop that too. 409 once it has ended and does not repeat.",
  ...secured("runs:write"),
  request,
  responses: { 200: json(importWire, "The import"), ...errors(404, 409, 422) },
});

const pause = createRoute({
  method: "post",
  path: "/v1/imports/{id}/pause",
  tags,
  summary: "Pause an import",
  description: "Reading stops; what has been handed over goes on. 409 once it has ended.",
  ...secured("runs:write"),
  request,
  responses: { 200: json(importWire, "The import"), ...errors(404, 409, 422) },
});

const resume = createRoute({
  method: "post",
  path: "/v1/imports/{id}/resume",
  tags,
  summary: "Resume an import",
  ...secured("runs:write"),
  request,
  responses: { 200: json(importWire, "The import"), ...errors(404, 409, 422) },
});

const retry = createRoute({
  method: "post",
  path: "/v1/imports/{id}/retry",
  tags,
  summary: "Retry what failed of an import",
  description:
    "Files that failed are read on where they broke off, into a further batch operation; no row is delivered twice. Of an import " +
    "that was stopped by its failures the rest is read too. 409 while it runs, after a cancel, and where nothing failed.",
  ...secured("runs:write"),
  request,
  responses: { 200: json(importWire, "The import, begun again"), ...errors(404, 409, 422) },
});

const remove = createRoute({
  method: "delete",
  path: "/v1/imports/{id}",
  tags,
  summary: "Delete an import",
  description:
    "With its files and rejects; one that runs is canceled first, one with a cron repeats no more. Its batch operation stays.",
  ...secured("runs:write"),
  request,
  responses: { 204: { description: "Deleted" }, ...errors(404, 422) },
});

/** For the typed client. */
export type ImportRoutes =
  | typeof create
  | typeof list
  | typeof get
  | typeof files
  | typeof rejects
  | typeof events
  | typeof cancel
  | typeof pause
  | typeof resume
  | typeof retry
  | typeof remove;

export function registerImports(app: App): void {
  app.openapi(create, async (c) => {
    const body = c.req.valid("json");
    const { caller, creationId } = c.var;
    const projectId = resolveProject(caller, body.project_id);
    const record = await createImport(c.env, caller, projectId, wantedImport(body), creationId, traceOf(c));
    return c.json(importToWire(record), 201);
  });

  app.openapi(list, async (c) => {
    const asOf = Date.now();
    const { limit, cursor, project_id, job_id, status } = c.req.valid("query");
    const filter = { project_id: resolveProject(c.var.caller, project_id), job_id, status };
    const binding = { list: "imports", ...filter };
    const page = pageRequest({ limit, cursor }, binding);
    const rows = await operations.listImports(c.env, filter, page);
    return c.json(pageAnswer(rows, page, binding, asOf, importToWire, { of: (record) => record.spec.id }), 200);
  });

  app.openapi(get, async (c) => {
    const { id } = c.req.valid("param");
    const record = await operations.getImport(c.env, c.var.caller, id, c.req.valid("query").project_id);
    // Rows are shown as they would be sent, digit by digit.
    const sample = record.sample.map((row) => new RawJson(row));
    return rawJson(c, { ...importToWire({ ...record, sample: [] }), sample }, 200);
  });

  app.openapi(files, async (c) => {
    const asOf = Date.now();
    const { id } = c.req.valid("param");
    const { limit, cursor, project_id } = c.req.valid("query");
    const binding = { list: "import-files", id };
    const page = pageRequest({ limit, cursor }, binding, BY_INDEX);
    const after = page.before === null ? null : Number(page.before);
    const rows = await operations.pageOfFiles(c.env, c.var.caller, id, after, page.limit, project_id);
    return c.json(scannedAnswer(rows, binding, asOf, fileToWire), 200);
  });

  app.openapi(rejects, async (c) => {
    const { id } = c.req.valid("param");
    const lines = await operations.rejectsOf(c.env, c.var.caller, id, c.req.valid("query").project_id);
    // The router's types know no NDJSON: it counts neither as JSON nor as anything else.
    return (await ndjsonResponse(lines)) as never;
  });

  app.openapi(events, async (c) => {
    const { id } = c.req.valid("param");
    const seen = c.req.header("Last-Event-ID");
    const version = seen !== undefined && /^\d{1,15}$/.test(seen) ? Number(seen) : null;
    const { project_id } = c.req.valid("query");
    const changes = await watchImport(c.env, c.var.caller, id, version, c.req.raw.signal, project_id);
    return sseResponse(changes, importEventToSse);
  });

  for (const [route, how] of [
    [cancel, "cancel"],
    [pause, "pause"],
    [resume, "resume"],
  ] as const) {
    app.openapi(route, async (c) => {
      const { id } = c.req.valid("param");
      const record = await operations.steerImport(c.env, c.var.caller, id, how, c.req.valid("query").project_id);
      return c.json(importToWire(record), 200);
    });
  }

  app.openapi(retry, async (c) => {
    const { id } = c.req.valid("param");
    const record = await operations.retryImport(c.env, c.var.caller, id, c.req.valid("query").project_id);
    return c.json(importToWire(record), 200);
  });

  app.openapi(remove, async (c) => {
    await operations.deleteImport(c.env, c.var.caller, c.req.valid("param").id, c.req.valid("query").project_id);
    return c.body(null, 204);
  });
}
