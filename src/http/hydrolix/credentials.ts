import { createRoute, z } from "@hono/zod-openapi";
import { strictObject } from "../../domain/strict.ts";
import * as operations from "../../operations/credentials.ts";
import { creates, secured } from "../auth.ts";
import type { App } from "../context.ts";
import { json, jsonBody } from "../wire/common.ts";
import { createCredentialBody } from "../wire/credentials.ts";
import { hydrolixErrors } from "./error.ts";
import { micros } from "./job-wire.ts";
import { noQuery, orgOf, orgParam } from "./names.ts";

const tags = ["Hydrolix: config"];
const CREDENTIALS = "/config/v1/orgs/{org}/credentials";

const credentialWire = z
  .object({
    uuid: z.string(),
    name: z.string(),
    description: z.string(),
    type: z.literal("aws s3"),
    created: z.string(),
  })
  .openapi("HydrolixCredential", { description: "What it holds is encrypted at rest, and never shown." });

const { name, type, details } = createCredentialBody.shape;
const body = strictObject({
  name,
  type,
  details,
  description: z.string().max(2000).nullish(),
}).openapi("HydrolixCreateCredential");

const TYPES = {
  "aws s3": {
    cloud: "aws",
    fields: { access_key_id: { required: true }, secret_access_key: { required: true } },
  },
};

const typesWire = z.record(
  z.string(),
  z.object({ cloud: z.string(), fields: z.record(z.string(), z.object({ required: z.boolean() })) }),
);

const types = createRoute({
  method: "get",
  path: `${CREDENTIALS}/types`,
  tags,
  summary: "List types of credentials",
  ...secured("jobs:read"),
  request: { params: orgParam, query: noQuery },
  responses: { 200: json(typesWire, "Types by name"), ...hydrolixErrors() },
});

const list = createRoute({
  method: "get",
  path: CREDENTIALS,
  tags,
  summary: "List credentials",
  ...secured("jobs:read"),
  request: { params: orgParam, query: noQuery },
  responses: { 200: json(z.array(credentialWire), "Credentials, without what they hold"), ...hydrolixErrors() },
});

const create = createRoute({
  method: "post",
  path: CREDENTIALS,
  tags,
  summary: "Create a credential",
  ...creates("jobs:write"),
  request: { params: orgParam, query: noQuery, body: jsonBody(body) },
  responses: {
    201: json(credentialWire, "The credential, without what it holds"),
    ...hydrolixErrors(400, 409, 413, 415),
  },
});

const credentialParam = orgParam.extend({
  uuid: z
    .string()
    .min(1)
    .max(64)
    .openapi({ param: { name: "uuid", in: "path" }, description: "The credential's id." }),
});

const get = createRoute({
  method: "get",
  path: `${CREDENTIALS}/{uuid}`,
  tags,
  summary: "Get a credential",
  ...secured("jobs:read"),
  request: { params: credentialParam, query: noQuery },
  responses: { 200: json(credentialWire, "The credential, without what it holds"), ...hydrolixErrors() },
});

const remove = createRoute({
  method: "delete",
  path: `${CREDENTIALS}/{uuid}`,
  tags,
  summary: "Delete a credential",
  description: "409, which names the imports, while one that runs or repeats uses it.",
  ...secured("jobs:write"),
  request: { params: credentialParam, query: noQuery },
  responses: { 204: { description: "Deleted" }, ...hydrolixErrors(409) },
});

const toWire = (row: operations.Credential): z.infer<typeof credentialWire> => ({
  uuid: row.id,
  name: row.name,
  description: row.description ?? "",
  type: row.type,
  created: micros(row.created_at),
});

export function registerCredentials(app: App): void {
  app.openapi(types, async (c) => {
    await orgOf(c, c.req.valid("param"));
    return c.json(TYPES, 200);
  });
  app.openapi(list, async (c) => {
    const { id } = await orgOf(c, c.req.valid("param"));
    const shown = [];
    for await (const row of operations.everyCredential(c.env, id)) shown.push(toWire(row));
    return c.json(shown, 200);
  });
  app.openapi(create, async (c) => {
    const { id } = await orgOf(c, c.req.valid("param"));
    const wanted = c.req.valid("json");
    const row = await operations.createCredential(c.env, c.var.caller, id, wanted, c.var.creationId);
    return c.json(toWire(row), 201);
  });
  app.openapi(get, async (c) => {
    const { org, uuid } = c.req.valid("param");
    const { id } = await orgOf(c, { org });
    return c.json(toWire(await operations.findCredential(c.env, c.var.caller, uuid, id)), 200);
  });
  app.openapi(remove, async (c) => {
    const { org, uuid } = c.req.valid("param");
    const { id } = await orgOf(c, { org });
    await operations.deleteCredential(c.env, await operations.findCredential(c.env, c.var.caller, uuid, id));
    return c.body(null, 204);
  });
}
