import { OpenAPIHono } from "@hono/zod-openapi";
import { getPath } from "hono/utils/url";
import { type ApiError, invalid } from "../domain/error.ts";
import { detailsOf } from "../domain/strict.ts";
import type { Env } from "../env.ts";
import type { Caller } from "../operations/authorize.ts";
import type { FaceError } from "./error.ts";
import { withoutLastSlash } from "./hydrolix/paths.ts";

/** What handlers find: `c.env` and `c.var`. */
export interface AppEnv {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** How a face shows failures; absent: the native one. */
    errorOf?: (failure: ApiError, requestId: string) => FaceError;
    /** Set by `requireScope`. */
    caller: Caller;
    /**
     * The id of the object that this request creates: set by `creates`. A repeat with the same Idempotency-Key has the
     * same one, so that a request which died after its commit is not done twice.
     */
    creationId: string;
  };
}

/** Routes are added to it with `app.openapi(createRoute({...}), handler)`. */
export type App = OpenAPIHono<AppEnv>;

/** A wrong query, path or body is thrown as `validation_failed` that names every bad field. */
export const newApp = (): App =>
  new OpenAPIHono<AppEnv>({
    getPath: (request) => withoutLastSlash(getPath(request)),
    defaultHook: (result) => {
      if (!result.success) throw invalid(detailsOf(result.error));
    },
  });
