import { objectNamed } from "../coordinator/client.ts";
import type { Env } from "../env.ts";
import type { ImportCoordinatorApi } from "./protocol.ts";

/** An import's own Durable Object. */
export const importOf = (env: Env, id: string): ImportCoordinatorApi =>
  objectNamed<ImportCoordinatorApi>(env.IMPORTS, id);
