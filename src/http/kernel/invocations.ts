import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalid } from "../../domain/error.ts";
import { isTerminal } from "../../domain/run.ts";
import { strictObject } from "../../domain/strict.ts";
import { cancelRun } from "../../operations/run-steering.ts";
import { getRun, type ShownRun } from "../../operations/runs.ts";
import { triggerRun } from "../../operations/triggers.ts";
import { idempotencyParameters, secured, writes } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { originOf, outlivingTheClient } from "../request.ts";
import { idParam, json, jsonBody, strictQuery } from "../wire/common.ts";
import { kernelErrors } from "./error.ts";
import { actionOf, appOf, LATEST, namesFor, sentProject, versionOf } from "./names.ts";
import { itemBytes, name, payloadText, version } from "./payloads.ts";
import { repeatable } from "./repeats.ts";
import { endOf, SYNC_WAIT_MS } from "./waiting.ts";
import { invocation, invocationToWire, invoked, invokedToWire } from "./wire.ts";

const tags = ["Kernel: invocations"];

const createBody = strictObject({
  app_name: name().openapi({ description: "The project's slug." }),
  action_name: name().openapi({ description: "The job's slug." }),
  version: version().optional(),
  payload: payloadText.optional(),
  async: z.boolean().optional().openapi({ description: "Answers at once. False by default." }),
  async_timeout_seconds: z
    .int()
    .min(10)
    .max(3600)
    .optional()
    .openapi({ description: "With `async`: the invocation has failed after so long, retries included." }),
}).openapi("KernelCreateInvocation");

export const noQuery = strictQuery({});

const create = createRoute({
  method: "post",
  path: "/kernel/invocations",
  tags,
  summary: "Invoke an action",
  description:
    "Triggers a run of the job. Waits for its end, at most 50 s. With an `Idempotency-Key` a repeat answers for the same " +
    "invocation, also while the first request is still waiting for it.",
  ...writes("jobs:trigger"),
  parameters: idempotencyParameters,
  request: { body: jsonBody(createBody) },
  responses: {
    200: json(invoked, "It has ended"),
    202: json(invoked, "It goes on: `async`, or 50 s are over"),
    ...kernelErrors(404, 409, 413, 415),
  },
});

const get = createRoute({
  method: "get",
  path: "/kernel/invocations/{id}",
  tags,
  summary: "Get an invocation",
  description: "Never behind.",
  ...secured("runs:read"),
  request: { params: idParam("invocation"), query: noQuery },
  responses: { 200: json(invocation, "The invocation"), ...kernelErrors(404) },
});

/** How clients end an invocation or a batch job: by cancelling it. */
export const endBody = strictObject({
  status: z.enum(["succeeded", "failed"]).openapi({ description: "`failed` cancels; `succeeded` is refused." }),
  output: z.string().optional().openapi({
    description: "Taken and not kept: the output is what the endpoint answers.",
  }),
}).openapi("KernelUpdate");

/** @throws ApiError `validation_failed` for an end that only the endpoint can bring about. */
export function refuseSuccess({ status }: z.infer<typeof endBody>): void {
  if (status !== "succeeded") return;
  throw invalid([{ path: "status", message: "only the endpoint's answer makes it succeeded; failed cancels it" }]);
}

const patch = createRoute({
  method: "patch",
  path: "/kernel/invocations/{id}",
  tags,
  summary: "Cancel an invocation",
  description: "`failed` at once; a call in flight is aborted soon after. 409 once it has ended.",
  ...writes("runs:write"),
  request: { params: idParam("invocation"), query: noQuery, body: jsonBody(endBody) },
  responses: { 200: json(invocation, "The invocation"), ...kernelErrors(404, 409, 413, 415) },
});

const browsers = createRoute({
  method: "get",
  path: "/kernel/invocations/{id}/browsers",
  tags,
  summary: "List an invocation's browsers",
  description: "There are none.",
  ...secured("runs:read"),
  request: { params: idParam("invocation"), query: noQuery },
  responses: {
    200: json(z.object({ browsers: z.array(z.object({ session_id: z.string() })).max(0) }), "No browsers"),
    ...kernelErrors(404),
  },
});

const dropBrowsers = createRoute({
  method: "delete",
  path: "/kernel/invocations/{id}/browsers",
  tags,
  summary: "Delete an invocation's browsers",
  description: "There are none.",
  ...secured("runs:write"),
  request: { params: idParam("invocation"), query: noQuery },
  responses: { 204: { description: "None is left" }, ...kernelErrors(404) },
});

async function shownInvocation(c: Context<AppEnv>, { run, ...bodies }: ShownRun) {
  return invocationToWire(run, await namesFor(c, run.project_id, [run.job_id]), bodies);
}

const found = (c: Context<AppEnv>, id: string) => getRun(c.env, c.var.caller, id, sentProject(c));

/** What is kept of a create for a repeat: the answer, or of one that had ended only its id, for it has not changed since. */
interface Given {
  status: 200 | 202;
  id: string;
  body?: z.infer<typeof invoked>;
}

async function invoke(c: Context<AppEnv>, body: z.infer<typeof createBody>, sent: string) {
  const app = await appOf(c, body.app_name);
  const action = await actionOf(c, app, body.action_name);
  const asked = await versionOf(c, action, body.version ?? LATEST);
  const bytes = itemBytes(body.payload, asked?.version ?? null);
  const first = async (key: string | null): Promise<Given> => {
    const triggered = await triggerRun(c.env, action, {
      bytes,
      from: 0,
      others: [],
      idempotencyKey: key,
      endsWithinSecs: body.async ? (body.async_timeout_seconds ?? null) : null,
      origin: originOf(c, "api"),
      dryRun: false,
    });
    if (triggered.id === null) throw new Error("a trigger was answered without an id");
    const { run, result } = body.async ? await found(c, triggered.id) : await endOf(c, triggered.id, SYNC_WAIT_MS);
    if (!body.async && isTerminal(run.status)) return { status: 200, id: run.id };
    return { status: 202, id: run.id, body: invokedToWire(run, action.current.spec.slug, result) };
  };
  const create = { projectId: app.id, body: sent, first };
  const { given, replayed } = await outlivingTheClient(c, repeatable(c, create));
  if (replayed) c.header("Idempotency-Replayed", "true");
  if (given.body) return { status: given.status, body: given.body };
  const { run, result } = await found(c, given.id);
  return { status: given.status, body: invokedToWire(run, action.current.spec.slug, result) };
}

export function registerInvocations(app: App): void {
  app.openapi(create, async (c) => {
    const { status, body } = await invoke(c, c.req.valid("json"), await c.req.text());
    return c.json(body, status);
  });

  app.openapi(get, async (c) => c.json(await shownInvocation(c, await found(c, c.req.valid("param").id)), 200));

  app.openapi(patch, async (c) => {
    refuseSuccess(c.req.valid("json"));
    const run = await cancelRun(c.env, c.var.caller, c.req.valid("param").id, sentProject(c));
    return c.json(await shownInvocation(c, run), 200);
  });

  app.openapi(browsers, async (c) => {
    await found(c, c.req.valid("param").id);
    return c.json({ browsers: [] }, 200);
  });

  app.openapi(dropBrowsers, async (c) => {
    await found(c, c.req.valid("param").id);
    return c.body(null, 204);
  });
}
