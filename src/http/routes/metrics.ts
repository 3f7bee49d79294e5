import { createRoute, z } from "@hono/zod-openapi";
import { PROMETHEUS_TYPE } from "../../domain/prometheus.ts";
import { metricsText } from "../../operations/metrics.ts";
import { secured } from "../auth.ts";
import type { App } from "../context.ts";
import { errors, strictQuery } from "../wire/common.ts";

const get = createRoute({
  method: "get",
  path: "/metrics",
  tags: ["Health"],
  summary: "Metrics for Prometheus",
  description:
    "Per job: waiting, executing, calls started, runs finished by status, and histograms of wait and duration. From the copy " +
    "in D1, some ten seconds old; no job is woken for it.",
  ...secured("admin"),
  request: { query: strictQuery({}) },
  responses: {
    200: { description: "The Prometheus text format", content: { "text/plain": { schema: z.string() } } },
    ...errors(422),
  },
});

/** What the typed client is typed by. */
export type MetricsRoutes = typeof get;

export function registerMetrics(app: App): void {
  app.openapi(get, async (c) => c.text(await metricsText(c.env, Date.now()), 200, { "Content-Type": PROMETHEUS_TYPE }));
}
