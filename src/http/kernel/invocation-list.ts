import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { isUuid } from "../../domain/id.ts";
import type { RunRecord } from "../../domain/run.ts";
import { listJobs } from "../../operations/jobs.ts";
import { CURRENT, pageOfRunsAt } from "../../operations/offset-lists.ts";
import type { Project } from "../../operations/projects.ts";
import { bodiesOf, type RunFilter } from "../../operations/runs.ts";
import { secured } from "../auth.ts";
import type { App, AppEnv } from "../context.ts";
import { strictQuery } from "../wire/common.ts";
import { arrayAnswer, mapAhead, pageHeadersOf } from "./answers.ts";
import { kernelErrors } from "./error.ts";
import { LATEST, listedAction, listedApp, type Names, namesFor } from "./names.ts";
import { version } from "./payloads.ts";
import { invocation, invocationToWire, pageOf, pageParams, queryEarlier, RUNS_OF, STATUSES } from "./wire.ts";

const DEFAULT_LIMIT = 20;
/** Actions that a search looks at. */
const MAX_SEARCHED = 200;

const query = strictQuery({
  app_name: z.string().optional().openapi({ description: "The project's slug; needed with the admin token." }),
  action_name: z.string().optional(),
  version: version().optional(),
  status: z.enum(STATUSES).optional(),
  since: queryEarlier("Created at this RFC 3339 time or later, or so long ago at most.").optional(),
  query: z.string().min(1).max(255).optional().openapi({
    description: "An id, or a part of the app's or the action's name.",
  }),
  deployment_id: z.string().optional().openapi({ description: "There are no deployments: nothing is of one." }),
  ...pageParams,
});
type Query = z.infer<typeof query>;

const list = createRoute({
  method: "get",
  path: "/kernel/invocations",
  tags: ["Kernel: invocations"],
  summary: "List invocations",
  description: "Newest first, whatever started them. What was acknowledged before is in it.",
  ...secured("runs:read"),
  request: { query },
  responses: {
    200: pageOf(invocation, "Invocations, newest first; 20 by default"),
    ...kernelErrors(404),
  },
});

type Filter = Omit<RunFilter, "batch_id">;

/** What a query asks for; null: nothing can be found. */
async function filterOf(c: Context<AppEnv>, app: Project, asked: Query, now: number): Promise<Filter | null> {
  if (asked.deployment_id !== undefined) return null;
  const filter: Filter = { project_id: app.id };
  if (asked.action_name !== undefined) {
    const action = await listedAction(c, app, asked.action_name);
    if (action === null) return null;
    filter.job_id = action.id;
  }
  if (asked.status !== undefined) filter.statuses = RUNS_OF[asked.status];
  if (asked.since !== undefined) filter.created_after = asked.since(now);
  if (asked.version !== undefined) filter.version = versionFilter(asked.version);
  if (asked.query !== undefined) Object.assign(filter, await searchFor(c, app, asked.query));
  return filter;
}

const versionFilter = (ref: string): Filter["version"] =>
  ref === LATEST ? CURRENT : /^\d{1,9}$/.test(ref) ? Number(ref) : ref;

async function searchFor(c: Context<AppEnv>, app: Project, text: string): Promise<Partial<Filter>> {
  const needle = text.toLowerCase();
  if (isUuid(needle)) return { id: needle };
  if (app.slug.includes(needle)) return {};
  const actions = await listJobs(c.env, app.id, { tags: [], q: needle }, { limit: MAX_SEARCHED, before: null });
  return { job_ids: actions.filter((job) => job.current.spec.slug.includes(needle)).map((job) => job.id) };
}

const NOTHING: { rows: RunRecord[]; hasMore: boolean } = { rows: [], hasMore: false };

export function registerInvocationList(app: App): void {
  app.openapi(list, async (c) => {
    const asked = c.req.valid("query");
    const { limit = DEFAULT_LIMIT, offset = 0 } = asked;
    const now = Date.now();
    const project = await listedApp(c, asked.app_name);
    const filter = project && (await filterOf(c, project, asked, now));
    const page = filter ? await pageOfRunsAt(c.env, filter, offset, limit, now) : NOTHING;
    const { rows, hasMore } = page;
    const names =
      project && rows.length > 0
        ? await namesFor(
            c,
            project.id,
            rows.map((run) => run.job_id),
          )
        : null;
    const shown = mapAhead(rows, async (run) => invocationToWire(run, names as Names, await bodiesOf(c.env, run)));
    return arrayAnswer(c, shown, pageHeadersOf(limit, offset, rows.length, hasMore));
  });
}
