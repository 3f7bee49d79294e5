import { createRoute, z } from "@hono/zod-openapi";
import { SESSION_MS } from "../../domain/session-token.ts";
import { strictObject } from "../../domain/strict.ts";
import { logIn } from "../../operations/login.ts";
import { readBodyText } from "../body.ts";
import type { App } from "../context.ts";
import { json, jsonBody } from "../wire/common.ts";
import { hydrolixErrors } from "./error.ts";
import { noQuery, slugOf } from "./names.ts";

const body = strictObject({
  username: z.string().min(1).max(128).openapi({ description: "The project's slug." }),
  password: z.string().min(1).max(256).openapi({ description: "An API key of the project." }),
}).openapi("HydrolixLogin");

const answer = z
  .object({
    auth_token: z.object({
      access_token: z.string().openapi({ description: "For `Authorization: Bearer`; it can what the key can." }),
      expires_in: z.literal(SESSION_MS / 1000).openapi({ description: "Seconds." }),
      token_type: z.literal("bearer"),
    }),
    orgs: z.array(z.object({ uuid: z.string(), name: z.string() })).length(1),
  })
  .openapi("HydrolixSession");

const login = createRoute({
  method: "post",
  path: "/config/v1/login",
  tags: ["Hydrolix: config"],
  summary: "Log in",
  description: "A token of an hour for an API key; it ends with the key, if that ends before.",
  middleware: [readBodyText()],
  request: { query: noQuery, body: jsonBody(body) },
  responses: { 200: json(answer, "The token, and the org of the key"), ...hydrolixErrors(400, 413, 415) },
});

export function registerLogin(app: App): void {
  app.openapi(login, async (c) => {
    const { username, password } = c.req.valid("json");
    const { token, project } = await logIn(c.env, slugOf(username), password, Date.now());
    return c.json(
      {
        auth_token: { access_token: token, expires_in: SESSION_MS / 1000, token_type: "bearer" as const },
        orgs: [{ uuid: project.id, name: project.name }],
      },
      200,
      { "Cache-Control": "no-store" },
    );
  });
}
