import { useRef } from "preact/hooks";
import type { Answer, Job } from "../../client/client.ts";
import { Action } from "../parts/action.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Loading, Panel, Problem } from "../parts/panel.tsx";
import { When } from "../parts/when.tsx";
import { place, setQuery } from "../place.ts";
import { api, usePages, usePolled } from "../polling.ts";
import { mayUse } from "../session.ts";

type Version = Answer<"GET /v1/jobs/{job}/versions">["data"][number];

const VERSIONS_MS = 10_000;

/** Every version, and what one changed: against the one before it, or against any other. */
export function JobVersions({ job, onRestored }: { job: Job; onRestored: () => void }) {
  const load = (cursor: string | undefined) =>
    api().call("GET /v1/jobs/{job}/versions", { params: { job: job.id }, query: { cursor, limit: 50 } });
  const pages = usePages(`versions ${job.id} ${job.version_id}`, load, VERSIONS_MS);
  const shown = Number(place.value.query.version) || job.version;
  const against = Number(place.value.query.against) || shown - 1;
  const changes = useRef<HTMLDivElement>(null);
  const look = (version: Version): void => {
    setQuery({ version: String(version.version), against: null });
    // On a phone they stand below the list.
    changes.current?.scrollIntoView({ block: "nearest" });
  };
  const restore = (version: Version) =>
    api().call("POST /v1/jobs/{job}/versions/{version_id}/restore", {
      params: { job: job.id, version_id: version.version_id },
    });
  return (
    <div class="columns">
      <Panel title="Versions">
        <Listing
          label="Versions"
          pages={pages}
          keyOf={(v) => v.version_id}
          columns={[
            {
              title: "Version",
              isMain: true,
              cell: (v) => (
                <>
                  <span class="main-name">
                    {v.version}
                    {v.version === job.version && <span class="quiet"> now</span>}
                  </span>
                  <span class="cell-sub one-line">
                    <When at={v.created_at} /> by {v.created_by}
                  </span>
                </>
              ),
            },
            {
              title: "",
              width: "wide",
              cell: (v) => (
                <span class="row end">
                  <button type="button" aria-pressed={v.version === shown} onClick={() => look(v)}>
                    Changes
                  </button>
                  {v.version !== job.version && (
                    <Action
                      label="Restore"
                      question="Make it the newest?"
                      act={() => restore(v)}
                      onDone={onRestored}
                      isDisabled={!mayUse("jobs:write")}
                    />
                  )}
                </span>
              ),
            },
          ]}
          empty={<Empty title="No versions" />}
        />
      </Panel>
      <div ref={changes} class="beside">
        <Changes jobId={job.id} version={shown} against={against} newest={job.version} />
      </div>
    </div>
  );
}

interface ChangesProps {
  jobId: string;
  version: number;
  against: number;
  newest: number;
}

function Changes({ jobId, version, against, newest }: ChangesProps) {
  const key = `diff ${jobId} ${version} ${against}`;
  const load = async () =>
    against < 1
      ? []
      : ((
          await api().call("GET /v1/jobs/{job}/versions/{version_id}", {
            params: { job: jobId, version_id: String(version) },
            query: { diff: String(against) },
          })
        ).diff ?? []);
  const { data, problem } = usePolled(key, load, null);
  const others = Array.from({ length: Math.min(newest, 200) }, (_, i) => newest - i).filter((n) => n !== version);
  return (
    <Panel
      title={`Changes of version ${version}`}
      aside={
        others.length > 0 && (
          <label class="row">
            <span class="quiet">against</span>
            <select
              class="short"
              value={String(against)}
              onChange={(e) => setQuery({ against: e.currentTarget.value })}
            >
              {against < 1 && <option value="0">nothing</option>}
              {others.map((n) => (
                <option key={n} value={String(n)}>
                  version {n}
                </option>
              ))}
            </select>
          </label>
        )
      }
    >
      <div class="panel-body diff">
        <Problem text={problem} />
        {data === null && problem === null && <Loading />}
        {data?.length === 0 && <p class="quiet">{against < 1 ? "This is the first version." : "They are the same."}</p>}
        {data?.map(({ field, from, to }) => (
          <div key={field} class="diff-field">
            <h3>{field}</h3>
            <pre class="diff-from">
              <span class="hidden">was </span>
              {inJson(from)}
            </pre>
            <pre class="diff-to">
              <span class="hidden">is </span>
              {inJson(to)}
            </pre>
          </div>
        ))}
      </div>
    </Panel>
  );
}

const inJson = (value: unknown): string => JSON.stringify(value, null, 2) ?? "null";
