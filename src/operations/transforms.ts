import { ApiError, invalid, notFound } from "../domain/error.ts";
import { timeOf } from "../domain/id.ts";
import { rowsFrom, tellFormat } from "../domain/object-rows.ts";
import { BrokenObject, type RowReader } from "../domain/row-reader.ts";
import { compileTransform, csvFormatOf } from "../domain/row-transform.ts";
import type { TransformSpec } from "../domain/transform.ts";
import { transformProblems } from "../domain/transform-rules.ts";
import type { Env } from "../env.ts";
import { selectProject } from "../store/projects.ts";
import * as store from "../store/transforms.ts";
import { everyRow } from "./every-row.ts";

export type Transform = store.TransformRow;

function refuse(spec: TransformSpec, prefix = ""): void {
  const problems = transformProblems(spec).map(({ path, message }) => ({ path: `${prefix}${path}`, message }));
  if (problems.length > 0) throw invalid(problems);
}

/** What is said of a transform beside what it does. */
export interface TransformNotes {
  description?: string | null;
  /** What a client means that names none; it takes this from the one of the same owner that was. */
  is_default?: boolean;
}

/** Whose a transform is: the project's, or one job's alone. Names are unique within each. */
export interface TransformOwner {
  projectId: string;
  jobId: string | null;
}

/**
 * @param id of the new transform; a repeat with the same id finds what the first one made.
 * @throws ApiError `validation_failed`; `conflict` for a taken name.
 */
export async function createTransform(
  env: Env,
  { projectId, jobId }: TransformOwner,
  wanted: TransformSpec & { name: string } & TransformNotes,
  id: string,
): Promise<Transform> {
  refuse(wanted);
  if (!(await selectProject(env.DB, projectId))) throw notFound("project");
  const at = timeOf(id);
  const { name, type, settings, description = null, is_default = false } = wanted;
  const made: Transform = {
    ...{ id, project_id: projectId, job_id: jobId, name, type, settings, description, is_default },
    ...{ created_at: at, updated_at: at },
  };
  await store.insertTransform(env.DB, { ...made, is_default: false });
  if (await store.selectTransform(env.DB, id)) {
    if (is_default) await store.setDefaultTransform(env.DB, made, true);
    return made;
  }
  throw new ApiError("conflict", `name: ${name} is taken`, { details: [{ path: "name", message: "is taken" }] });
}

const NAMED_AT_ONCE = 20;

/**
 * The transform of a name: a job's own where one is named, else the project's, else the only one that a job has.
 *
 * @throws ApiError `not_found`; `conflict`, naming the jobs, where several have one.
 */
export async function findTransform(env: Env, { projectId, jobId }: TransformOwner, name: string): Promise<Transform> {
  if (jobId !== null) {
    const row = await store.selectTransformFor(env.DB, { project_id: projectId, job_id: jobId }, name);
    if (row === null || row.job_id === null) throw notFound("transform");
    return row;
  }
  const [row, other, ...more] = await store.selectTransformsNamed(env.DB, projectId, name, NAMED_AT_ONCE);
  if (row === undefined) throw notFound("transform");
  if (row.job_id === null || other === undefined) return row;
  const jobs = [row, other, ...more].map(({ job_id }) => job_id).join(", ");
  throw new ApiError("conflict", `several jobs have a transform of this name; say which by job_id: ${jobs}`);
}

/** Newest first; one more than the limit where there is another page. */
export const listTransforms = (
  env: Env,
  projectId: string,
  page: { limit: number; before: string | null },
): Promise<Transform[]> => store.listTransforms(env.DB, projectId, page);

/** Those that a job may use, newest first: its own, and the project's whose names it has not itself. */
export async function transformsFor(env: Env, projectId: string, jobId: string): Promise<Transform[]> {
  const usable: Transform[] = [];
  const every = everyRow(
    (page) => store.listTransforms(env.DB, projectId, page),
    (row: Transform) => row.id,
  );
  for await (const row of every) if (row.job_id === null || row.job_id === jobId) usable.push(row);
  const own = new Set(usable.flatMap(({ job_id, name }) => (job_id === null ? [] : [name])));
  return usable.filter(({ job_id, name }) => job_id !== null || !own.has(name));
}

/** Imports that have begun keep the transform that they began with. */
export async function replaceTransform(
  env: Env,
  { id }: Transform,
  wanted: TransformSpec & TransformNotes,
  now: number,
): Promise<Transform> {
  refuse(wanted);
  const { type, settings, description, is_default } = wanted;
  const change = { type, settings, updated_at: now, ...(description === undefined ? {} : { description }) };
  const row = await store.updateTransform(env.DB, id, change);
  if (!row) throw notFound("transform");
  if (is_default === undefined || is_default === row.is_default) return row;
  await store.setDefaultTransform(env.DB, row, is_default);
  return { ...row, is_default };
}

export async function deleteTransform(env: Env, { id }: Transform): Promise<void> {
  if (!(await store.deleteTransform(env.DB, id))) throw notFound("transform");
}

/** A row that a transform refuses, or that cannot be read. */
export interface RowError {
  /** Of the row among those that were tried, from 0. */
  index: number;
  line: number;
  message: string;
  raw: string;
}

export interface Tried {
  /** JSON texts. */
  rows: string[];
  errors: RowError[];
}

/**
 * What a transform makes of some rows: read as an object's would be.
 *
 * @param data the text of an object, or its rows: texts of lines, or JSON values.
 * @throws ApiError `validation_failed`.
 */
export function tryTransform(spec: TransformSpec, data: string | unknown[]): Tried {
  refuse(spec, "transform.");
  const text = typeof data === "string" ? data : data.map((row) => lineOf(row, spec)).join("\n");
  const bytes = new TextEncoder().encode(text);
  const tried: Tried = { rows: [], errors: [] };
  try {
    const state = tellFormat(bytes, true, spec);
    if (state === null) return tried;
    const rows = rowsFrom(state, spec, true);
    rows.feed(bytes.subarray(state.place.offset));
    const transform = compileTransform(spec);
    let index = 0;
    const take = (): void => {
      while (rows.next()) tryRow(rows, transform, index++, tried);
    };
    take();
    rows.end();
    take();
  } catch (error) {
    if (!(error instanceof BrokenObject)) throw error;
    throw invalid([{ path: "data", message: error.message }]);
  }
  return tried;
}

function tryRow(rows: RowReader, transform: ReturnType<typeof compileTransform>, index: number, tried: Tried): void {
  const head = "head" in rows ? (rows.head as Parameters<typeof transform>[2]) : null;
  const row = rows.problem === null ? transform(rows.value, rows.text, head) : { problem: rows.problem };
  if (!("problem" in row)) tried.rows.push(row.text);
  else tried.errors.push({ index, line: rows.line, message: row.problem, raw: rows.text.slice(0, 4096) });
}

function lineOf(row: unknown, spec: TransformSpec): string {
  if (typeof row === "string") return row;
  if (spec.type === "json" || !Array.isArray(row)) return JSON.stringify(row);
  const { delimiter, quote, escape: mark } = csvFormatOf(spec);
  if (quote === "") return row.join(delimiter);
  const escaped = (field: string): string =>
    mark === "" ? field : field.replaceAll(mark, mark + mark).replaceAll(quote, mark === quote ? quote : mark + quote);
  return row.map((field) => quote + escaped(String(field ?? "")) + quote).join(delimiter);
}
