import { ApiError, notFound } from "../domain/error.ts";
import type { Scope } from "../domain/scope.ts";

/** Who asks. `projectId` is null for the admin, who belongs to none and may do everything. */
export interface Caller {
  kind: "admin" | "key" | "service";
  projectId: string | null;
  scopes: readonly Scope[];
  /** What `created_by` keeps: `apikey:<id>`, `service:<name>`, `admin` or what the admin's `X-Actor-Id` says. */
  actorId: string;
}

/**
 * The project that a request is about, or null for an admin who named none.
 *
 * @throws ApiError `not_found` where a key names a project that is not its own.
 */
export function projectScope(caller: Caller, named?: string | null): string | null {
  if (caller.projectId === null) return named ?? null;
  if (named !== undefined && named !== null && named !== caller.projectId) throw notFound("project");
  return caller.projectId;
}

/**
 * The project that a request is about, where there must be one.
 *
 * @throws ApiError `not_found` where a key names a project that is not its own; `validation_failed` where an admin
 *   names none.
 */
export function resolveProject(caller: Caller, named?: string | null): string {
  const projectId = projectScope(caller, named);
  if (projectId === null) throw projectRequired();
  return projectId;
}

export const projectRequired = (): ApiError =>
  new ApiError("validation_failed", "project_id: is required with the admin token", {
    details: [{ path: "project_id", message: "is required with the admin token" }],
  });
