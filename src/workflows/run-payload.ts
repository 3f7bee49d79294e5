import { type MappingFacts, mapPayload, rootsOf } from "../domain/payload-mapping.ts";
import { INLINE_BODY_BYTES, MAX_BODY_BYTES } from "../domain/run.ts";
import { RenderedTooLarge } from "../domain/template.ts";
import type { Env } from "../env.ts";
import { type SourceRun, savePayload, selectSourceRun, type WorkflowRunRow } from "../store/workflow-runs.ts";

/** The payload of a workflow run: as it was sent, or made from the completed run that started it. */

const workflowPayloadKey = (projectId: string, id: string): string => `workflow-runs/${projectId}/${id}/payload`;

/** Keeps a payload where it belongs by its size. */
export async function keepPayload(
  env: Env,
  projectId: string,
  id: string,
  text: string,
): Promise<{ text: string | null; ref: string | null }> {
  if (new TextEncoder().encode(text).length <= INLINE_BODY_BYTES) return { text, ref: null };
  const ref = workflowPayloadKey(projectId, id);
  await env.BLOBS.put(ref, text);
  return { text: null, ref };
}

/** The run with its payload, which is made the first time that it is asked for; or why none can be made. */
export async function makePayload(env: Env, run: WorkflowRunRow): Promise<WorkflowRunRow | { refused: string }> {
  if (run.payload !== null || run.payload_ref !== null) return run;
  if (run.source_run_id === null) throw new Error(`the workflow run ${run.id} has no payload`);
  const source = await selectSourceRun(env.DB, run.project_id, run.source_run_id);
  if (source === null) return { refused: `run ${run.source_run_id}, which started it, is no longer kept` };
  try {
    const text = mapPayload(run.mapping, await factsOf(env, source, run.mapping), MAX_BODY_BYTES);
    const { text: payload, ref: payload_ref } = await keepPayload(env, run.project_id, run.id, text);
    await savePayload(env.DB, run.id, { text: payload, ref: payload_ref });
    return { ...run, payload, payload_ref };
  } catch (error) {
    if (error instanceof RenderedTooLarge) return { refused: `its payload ${error.message}` };
    throw error;
  }
}

async function factsOf(env: Env, source: SourceRun, mapping: Record<string, string> | null): Promise<MappingFacts> {
  const roots = rootsOf(mapping);
  const encode = (text: string | null): Uint8Array | null => (text === null ? null : new TextEncoder().encode(text));
  return {
    result: roots.has("result") ? encode(await bodyOf(env, source.result, source.result_ref)) : null,
    payload: roots.has("payload") ? encode(await bodyOf(env, source.payload, source.payload_ref)) : null,
    metadata: encode(JSON.stringify(source.metadata)),
    run: encode(JSON.stringify(source.run)),
  };
}

/** A body as raw JSON, wherever it is kept; null where it is nowhere. */
export async function bodyOf(env: Env, inline: string | null, ref: string | null): Promise<string | null> {
  if (inline !== null || ref === null) return inline;
  return (await env.BLOBS.get(ref))?.text() ?? null;
}

/** The payload of a run that has one, as raw JSON. */
export async function payloadBytes(env: Env, run: WorkflowRunRow): Promise<Uint8Array> {
  const text = await bodyOf(env, run.payload, run.payload_ref);
  if (text === null) throw new Error(`the payload of the workflow run ${run.id} is gone`);
  return new TextEncoder().encode(text);
}
