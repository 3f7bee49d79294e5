import type { z } from "zod";
import type { ApiRoutes } from "../http/api.ts";

/**
 * What the routes say of themselves, as types: which calls there are, what each takes and what it answers. Nothing here
 * stands at run time, and nothing is generated.
 */

type Named<R> = R extends { method: infer M extends string; path: infer P extends string }
  ? { [K in `${Uppercase<M>} ${P}`]: R }
  : never;
type All<U> = (U extends unknown ? (one: U) => void : never) extends (all: infer I) => void ? I : never;
type Routes = All<Named<ApiRoutes>>;

/** A route by its method and its path in the OpenAPI document: `GET /v1/jobs/{job}`. */
export type Call = keyof Routes;

/** A schema's side of the caller; what is only described (a `$ref`) may be anything that JSON holds. */
type Given<S> = S extends z.ZodType ? z.input<S> : unknown;
type Answered<S> = S extends z.ZodType ? z.output<S> : unknown;

type Text = string | number | boolean;
/** Query values are texts on the wire: numbers and booleans are written for the caller, lists several times. */
type QueryValue<T> = T extends readonly unknown[] ? readonly Text[] | Text : T extends string ? T | Text : Text;
type Query<Q> = { [K in keyof Q]: QueryValue<NonNullable<Q[K]>> | undefined };

type ParamsOf<R> = R extends { request: { params: infer S } } ? Given<S> : never;
type QueryOf<R> = R extends { request: { query: infer S } } ? Query<Given<S>> : never;
type BodyOf<R> = R extends { request: { body: { content: { "application/json": { schema: infer S } } } } }
  ? Given<S>
  : never;

type None = Record<never, never>;
type Required<K extends string, T> = [T] extends [never] ? None : { [N in K]: T };
type Optional<K extends string, T> = [T] extends [never] ? None : { [N in K]?: Partial<T> };
/** A query is needed where it has a parameter that must be given. */
type QueryPart<Q> = [Q] extends [never] ? None : Partial<Q> extends Q ? Optional<"query", Q> : Required<"query", Q>;

/** What a call takes: `params` of the path, `query` and `body`, each only where the route has it. */
export type Input<C extends Call> = Required<"params", ParamsOf<Routes[C]>> &
  QueryPart<QueryOf<Routes[C]>> &
  Required<"body", BodyOf<Routes[C]>>;

type Success = 200 | 201 | 202;
type JsonOf<A> = A extends { content: { "application/json": { schema: infer S } } } ? Answered<S> : null;
type AnswerOf<R> = R extends { responses: infer A }
  ? { [K in keyof A & Success]: JsonOf<A[K]> }[keyof A & Success]
  : never;

/** What a call answers; `null` where it answers without a body. */
export type Answer<C extends Call> = [AnswerOf<Routes[C]>] extends [never] ? null : AnswerOf<Routes[C]>;

export type Job = Answer<"GET /v1/jobs/{job}">;
export type Run = Answer<"GET /v1/runs/{id}">;
export type BatchOperation = Answer<"GET /v1/batch-operations/{id}">;
export type BatchItem = Answer<"GET /v1/batch-operations/{id}/items">["data"][number];
export type Import = Answer<"GET /v1/imports/{id}">;
export type ImportFile = Answer<"GET /v1/imports/{id}/files">["data"][number];
