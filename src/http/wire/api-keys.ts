import { z } from "@hono/zod-openapi";
import { SCOPES } from "../../domain/scope.ts";
import { strictObject } from "../../domain/strict.ts";
import type { ApiKey, IssuedKey } from "../../operations/api-keys.ts";
import { instant, iso, isoOrNull, listOf, uuid } from "./common.ts";

const scopes = () => z.array(z.enum(SCOPES)).min(1).max(SCOPES.length);
const MAX_GRACE_SECS = 30 * 24 * 3600;

const apiKeyWire = z
  .object({
    id: uuid(),
    project_id: uuid(),
    name: z.string(),
    key_prefix: z.string().openapi({ description: "The key's first 12 characters.", example: "sluice_3f9a1" }),
    scopes: scopes(),
    expires_at: instant().nullable(),
    revoked_at: instant().nullable().openapi({ description: "Refused from then on; after a rotation, in the future." }),
    created_by: z.string(),
    created_at: instant(),
  })
  .openapi("ApiKey");

export const issuedKeyWire = apiKeyWire
  .extend({
    key: z
      .string()
      .optional()
      .openapi({
        description: "The key itself: shown this once, and not when the request is answered again.",
        example: `sluice_${"0123456789abcdef".repeat(4)}`,
      }),
  })
  .openapi("IssuedApiKey");

export const apiKeyList = listOf(apiKeyWire).openapi("ApiKeyList");

export const createApiKeyBody = strictObject({
  project_id: z.string().max(64).optional().openapi({ description: "Needed with the admin token." }),
  name: z.string().min(1).max(255),
  scopes: scopes().openapi({ description: "No key can hand on scopes that it lacks." }),
  expires_at: z.iso
    .datetime({ offset: true })
    .transform((text) => Date.parse(text))
    .nullable()
    .optional()
    .openapi({ type: ["string", "null"], format: "date-time", description: "In the future; null: never." }),
}).openapi("CreateApiKey");

export const rotateApiKeyBody = strictObject({
  project_id: z.string().max(64).optional(),
  grace_period_secs: z.number().int().min(0).max(MAX_GRACE_SECS).optional().openapi({
    description: "The old key works so much longer. 0 by default.",
  }),
}).openapi("RotateApiKey");

export const toApiKeyWire = (row: ApiKey): z.infer<typeof apiKeyWire> => ({
  id: row.id,
  project_id: row.project_id,
  name: row.name,
  key_prefix: row.key_prefix,
  scopes: row.scopes,
  expires_at: isoOrNull(row.expires_at),
  revoked_at: isoOrNull(row.revoked_at),
  created_by: row.created_by,
  created_at: iso(row.created_at),
});

export const toIssuedKeyWire = ({ row, key }: IssuedKey): z.infer<typeof issuedKeyWire> => ({
  ...toApiKeyWire(row),
  key,
});
