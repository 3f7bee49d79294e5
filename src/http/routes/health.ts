import { createRoute, z } from "@hono/zod-openapi";
import { ApiError } from "../../domain/error.ts";
import { readiness } from "../../operations/health.ts";
import { settingsOf } from "../../operations/settings.ts";
import type { App } from "../context.ts";
import { docsPage, docsPolicy } from "../docs-page.ts";
import { openApiDocument } from "../openapi.ts";
import { json, openErrors } from "../wire/common.ts";

const tags = ["Service"];
const ok = z.object({ status: z.literal("ok") });
const RETRY_SECS = 5;

const alive = createRoute({
  method: "get",
  path: "/health",
  tags,
  summary: "The process is up",
  responses: { 200: json(ok, "It is"), ...openErrors() },
});

const ready = createRoute({
  method: "get",
  path: "/health/ready",
  tags,
  summary: "D1 and Durable Objects answer, and the settings are right",
  responses: {
    200: json(ok.extend({ d1: z.literal("ok"), durable_objects: z.literal("ok") }), "Ready"),
    ...openErrors(503),
  },
});

const document = createRoute({
  method: "get",
  path: "/openapi.json",
  tags,
  summary: "This document",
  responses: { 200: json(z.looseObject({ openapi: z.string() }), "OpenAPI 3.1"), ...openErrors() },
});

const docs = createRoute({
  method: "get",
  path: "/docs",
  tags,
  summary: "This document, readable",
  responses: {
    200: { description: "A page", content: { "text/html": { schema: z.string() } } },
    ...openErrors(),
  },
});

/** What the typed client is typed by. */
export type HealthRoutes = typeof alive | typeof ready | typeof document | typeof docs;

export function registerHealth(app: App): void {
  app.openapi(alive, (c) => c.json({ status: "ok" as const }, 200));

  app.openapi(ready, async (c) => {
    settingsOf(c.env);
    const { ready, d1, coordinator } = await readiness(c.env);
    if (!ready) {
      throw new ApiError("unavailable", `not ready: D1 ${d1}, Durable Objects ${coordinator}`, {
        retryAfterSecs: RETRY_SECS,
      });
    }
    return c.json({ status: "ok" as const, d1: "ok" as const, durable_objects: "ok" as const }, 200);
  });

  app.openapi(document, (c) => c.json(openApiDocument(app) as { openapi: string }, 200));

  app.openapi(docs, (c) => {
    const nonce = crypto.randomUUID();
    c.header("Content-Security-Policy", docsPolicy(nonce));
    return c.html(docsPage(openApiDocument(app), nonce), 200);
  });
}
