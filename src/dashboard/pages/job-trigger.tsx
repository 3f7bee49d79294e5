import { useState } from "preact/hooks";
import type { Job } from "../../client/client.ts";
import { Action } from "../parts/action.tsx";
import { IdLink } from "../parts/links.tsx";
import { Panel } from "../parts/panel.tsx";
import { api } from "../polling.ts";
import { mayUse } from "../session.ts";
import { BulkForm } from "./bulk-form.tsx";

/** One run, or many. */
export function JobTrigger({ job }: { job: Job }) {
  const isClosed = !job.enabled;
  return (
    <div class="stack">
      {isClosed && <p class="note">This job is disabled: it takes no runs until it is enabled.</p>}
      {job.paused && <p class="note">This job is paused: runs are taken in and wait until it is resumed.</p>}
      {!mayUse("jobs:trigger") && <p class="note">This key may not trigger jobs: it lacks the scope jobs:trigger.</p>}
      <div class="columns">
        <BulkForm job={job} isClosed={isClosed || !mayUse("jobs:trigger")} />
        <OneForm job={job} isClosed={isClosed || !mayUse("jobs:trigger")} />
      </div>
    </div>
  );
}

function OneForm({ job, isClosed }: { job: Job; isClosed: boolean }) {
  const [payload, setPayload] = useState("{\n  \n}");
  const [key, setKey] = useState("");
  const [concurrencyKey, setConcurrencyKey] = useState("");
  const [made, setMade] = useState<{ id: string; isDuplicate: boolean } | null>(null);

  const trigger = async (): Promise<void> => {
    setMade(null);
    const item = {
      payload: parsed(payload),
      idempotency_key: key || undefined,
      concurrency_key: concurrencyKey || undefined,
    };
    const answer = await api().trigger(job.id, item);
    setMade({ id: answer.id, isDuplicate: answer.outcome === "duplicate" });
  };

  return (
    <Panel title="One run">
      <div class="panel-body stack">
        <div class="field">
          <label for="payload">Payload, as JSON</label>
          <textarea
            id="payload"
            rows={9}
            spellcheck={false}
            value={payload}
            onInput={(e) => setPayload(e.currentTarget.value)}
          />
        </div>
        <div class="fields">
          <div class="field">
            <label for="one-key">Idempotency key</label>
            <input id="one-key" maxLength={256} value={key} onInput={(e) => setKey(e.currentTarget.value)} />
          </div>
          <div class="field">
            <label for="one-line">Concurrency key</label>
            <input
              id="one-line"
              maxLength={256}
              value={concurrencyKey}
              onInput={(e) => setConcurrencyKey(e.currentTarget.value)}
            />
          </div>
        </div>
        <div class="row">
          <Action label="Trigger one" isDisabled={isClosed} act={trigger} />
          <span role="status" aria-live="polite">
            {made && (
              <>
                {made.isDuplicate ? "A duplicate of " : "Made "}
                <IdLink section="runs" id={made.id} />
              </>
            )}
          </span>
        </div>
      </div>
    </Panel>
  );
}

function parsed(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`The payload is not JSON: ${(error as Error).message}`);
  }
}
