import { z } from "zod";
import { type AddressPolicy, checkAddress, MAX_URL } from "./address.ts";
import { strictObject } from "./strict.ts";

/**
 * `service://NAME/path` endpoints: other Workers that the deployment's `SERVICE_ENDPOINTS` maps for some projects
 * (contract 2). They are reached through a service binding and not by the network, so no address rule applies to them.
 */

/** Which binding a name leads to, and whose jobs may call it: `*` is every project's. */
export interface ServiceMapping {
  binding: string;
  projects: "*" | string[];
}

const NAME = "[A-Za-z][A-Za-z0-9_-]{0,62}";
const SERVICE_URL = new RegExp(`^service://(${NAME})([/?][^#]*)?$`);

const mappings = z.record(
  z.string().regex(new RegExp(`^${NAME}$`), "is not a service name"),
  strictObject({
    binding: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is not a binding's name"),
    projects: z.union([z.literal("*"), z.array(z.uuid("expected a project's id")).min(1)]),
  }),
);

/**
 * Parses `SERVICE_ENDPOINTS`: JSON `{"billing":{"binding":"BILLING","projects":["<project id>"]}}`, or `"projects":"*"`.
 *
 * @throws Error naming what is wrong.
 */
export function parseServiceEndpoints(text: string): Map<string, ServiceMapping> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("SERVICE_ENDPOINTS is not JSON");
  }
  const parsed = mappings.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`SERVICE_ENDPOINTS ${issue?.path.join(".")} ${issue?.message}`);
  }
  return new Map(Object.entries(parsed.data));
}

/** Whether a project's jobs may call a service. */
export const mayCall = ({ projects }: ServiceMapping, projectId: string): boolean =>
  projects === "*" || projects.includes(projectId);

/** Where a call goes: `service` null means the network. */
export type Endpoint =
  | { kind: "endpoint"; url: string; service: string | null }
  /** As the second half of "endpoint_url: …". */
  | { kind: "refused"; message: string };

/**
 * Judges a job's URL, at save and again at every call.
 *
 * @param isMapped whether the job's project may call a service of this name.
 */
export function judgeEndpoint(text: string, policy: AddressPolicy, isMapped: (name: string) => boolean): Endpoint {
  const service = text.length <= MAX_URL && !/[\s\\]/.test(text) ? SERVICE_URL.exec(text) : null;
  const [, name, path = "/"] = service ?? [];
  if (name !== undefined && isMapped(name)) return { kind: "endpoint", url: `https://${name}${path}`, service: name };
  const problem = checkAddress(text, policy);
  return problem === null ? { kind: "endpoint", url: text, service: null } : { kind: "refused", message: problem };
}
