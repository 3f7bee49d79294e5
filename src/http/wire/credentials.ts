import { z } from "@hono/zod-openapi";
import { text } from "../../domain/job-fields.ts";
import { strictObject } from "../../domain/strict.ts";
import type { Credential } from "../../operations/credentials.ts";
import { instant, iso, listOf, projectParam, uuid } from "./common.ts";

const kind = z.enum(["aws s3"]).openapi({ description: "Any store that speaks S3's protocol." });
const secret = () =>
  z
    .string()
    .regex(/^[\x21-\x7e]{1,256}$/, "must have 1 to 256 visible ASCII characters")
    .openapi({ writeOnly: true });

export const credentialWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    name: z.string(),
    type: kind,
    created_by: z.string(),
    created_at: instant(),
  })
  .openapi("Credential", { description: "What it holds is encrypted at rest, and never shown." });

export const credentialList = listOf(credentialWire).openapi("CredentialList");

export const createCredentialBody = strictObject(
  {
    project_id: projectParam,
    name: text(1, 255),
    type: kind,
    details: strictObject({ access_key_id: secret(), secret_access_key: secret() }),
  },
  ["id", "created_by", "created_at"],
).openapi("CreateCredential");

export const toCredentialWire = (row: Credential): z.infer<typeof credentialWire> => ({
  id: row.id,
  project_id: row.project_id,
  name: row.name,
  type: row.type,
  created_by: row.created_by,
  created_at: iso(row.created_at),
});
