import type { Answer } from "../../client/client.ts";
import { isEnded } from "../../domain/import.ts";
import { download } from "../download.ts";
import { bytes, count, NONE, percent, plural, shortId } from "../format.ts";
import { Page } from "../page.tsx";
import { Action } from "../parts/action.tsx";
import { Flow, Legend, type Part } from "../parts/flow.tsx";
import { JsonView } from "../parts/json-view.tsx";
import { IdLink, JobLink } from "../parts/links.tsx";
import { Listing } from "../parts/listing.tsx";
import { Empty, Facts, Figure, Loading, Panel, Problem } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import { shownTab, Tabs } from "../parts/tabs.tsx";
import { When } from "../parts/when.tsx";
import { api, usePages, usePolled } from "../polling.ts";
import { mayUse } from "../session.ts";
import { ImportRejects } from "./import-rejects.tsx";
import type { Import } from "./imports.tsx";

const IMPORT_MS = 1000;
const FILES_MS = 3000;

export function ImportPage({ id }: { id: string }) {
  const polled = usePolled(`import ${id}`, () => api().call("GET /v1/imports/{id}", { params: { id } }), IMPORT_MS);
  const { data } = polled;
  if (data === null) {
    return (
      <Page title={polled.isGone ? "No such import" : "Import"} crumb={["imports", "Imports"]}>
        {polled.isGone ? <Empty title="It was deleted, or is another project's" /> : <Problem text={polled.problem} />}
        {polled.problem === null && <Loading lines={8} />}
      </Page>
    );
  }
  const isOver = isEnded(data.status);
  const parts = filePartsOf(data, isOver);
  return (
    <Page
      title={data.name ?? `Import ${shortId(id)}`}
      crumb={["imports", "Imports"]}
      sub={
        <>
          <JobLink id={data.job_id} />
          <Status of={data.status} />
          <span class="mono">{data.source.url}</span>
        </>
      }
      actions={<Steering of={data} onDone={polled.refresh} />}
    >
      <Problem text={polled.problem} />
      {data.errors.length > 0 && <Notes kind="problem" texts={data.errors} />}
      {data.warnings.length > 0 && <Notes kind="note" texts={data.warnings} />}
      <div class="figures">
        <Figure
          label="Read"
          value={percent(data.percent_complete)}
          hint={`${bytes(data.bytes.done)} of ${bytes(data.bytes.total)}`}
        />
        <Figure label="Files" value={count(data.files.total)} hint={`${count(data.files.done)} done`} />
        <Figure
          label="Rows read"
          value={count(data.rows.read)}
          hint={data.settings.dry_run ? "dry run" : isOver ? "in all" : "so far"}
        />
        <Figure label="Delivered" value={count(data.rows.delivered)} hint={`as ${data.delivery}s`} />
        <Figure
          label="Rejected"
          value={count(data.rows.rejected)}
          hint={`on error: ${data.on_error.replaceAll("_", " ")}`}
        />
      </div>
      {data.sample.length > 0 && (
        <Panel title={`The first ${plural(data.sample.length, "row")}, as they would be sent`}>
          <div class="panel-body">
            <JsonView value={data.sample} label="Sample" />
          </div>
        </Panel>
      )}
      <Panel title="Files">
        <div class="panel-body">
          <Flow parts={parts} total={data.files.total} label="Files" />
          <Legend parts={parts} />
        </div>
      </Panel>
      {/* The last of the page: what grows pushes nothing down. */}
      <Contents of={data} isOver={isOver} />
    </Page>
  );
}

const filePartsOf = ({ files }: Import, isOver: boolean): Part[] => [
  { label: "done", value: files.done, kind: "good" },
  { label: "failed", value: files.failed, kind: "bad" },
  { label: "skipped", value: files.skipped, kind: "held" },
  {
    label: isOver ? "not read" : "to come",
    value: Math.max(0, files.total - files.done - files.failed - files.skipped),
    kind: "idle",
  },
];

function Notes({ kind, texts }: { kind: "problem" | "note"; texts: string[] }) {
  return (
    <ul class={kind} aria-label={kind === "problem" ? "Errors" : "Warnings"}>
      {texts.map((text) => (
        <li key={text}>{text}</li>
      ))}
    </ul>
  );
}

function Contents({ of, isOver }: { of: Import; isOver: boolean }) {
  const tabs = [
    ["files", `Files ${count(of.files.total)}`],
    ["rejects", `Rejected rows ${count(of.rows.rejected)}`],
    ["about", "About it"],
  ] as const;
  const shown = shownTab(tabs);
  return (
    <Panel title="Contents">
      <Tabs names={tabs} shown={shown} />
      {shown === "files" && <Files id={of.id} isOver={isOver} />}
      {shown === "rejects" && <ImportRejects of={of} isOver={isOver} />}
      {shown === "about" && (
        <div class="panel-body">
          <Facts of={factsOf(of)} />
        </div>
      )}
    </Panel>
  );
}

type File = Answer<"GET /v1/imports/{id}/files">["data"][number];

function Files({ id, isOver }: { id: string; isOver: boolean }) {
  const load = (cursor: string | undefined) =>
    api().call("GET /v1/imports/{id}/files", { params: { id }, query: { cursor, limit: 50 } });
  const pages = usePages(`files ${id} ${isOver}`, load, isOver ? null : FILES_MS);
  return (
    <Listing<File>
      label="Files"
      pages={pages}
      keyOf={(file) => file.key}
      columns={[
        {
          title: "File",
          isMain: true,
          cell: (file) => (
            <>
              <span class="mono">{file.key}</span>
              {file.error !== null && <span class="cell-sub wrap">{file.error}</span>}
            </>
          ),
        },
        {
          title: "State",
          width: "medium",
          cell: (file) => <Status of={isOver ? settledStatus(file.status) : file.status} />,
        },
        { title: "Size", width: "narrow", isNumber: true, cell: (file) => bytes(file.size) },
        { title: "Rows", width: "narrow", isNumber: true, cell: (file) => count(file.rows) },
        { title: "Rejects", width: "narrow", isNumber: true, cell: (file) => count(file.rejects) },
      ]}
      empty={<Empty title={isOver ? "No files" : "No files yet"} />}
    />
  );
}

/** Of an import that ended before its files did. */
const settledStatus = (status: File["status"]): string =>
  status === "running" ? "broken_off" : status === "pending" ? "not_read" : status;

function Steering({ of, onDone }: { of: Import; onDone: () => void }) {
  const isAllowed = mayUse("runs:write");
  const params = { id: of.id };
  const isOver = isEnded(of.status);
  // Rejected rows are the same when they are read again.
  const hasFailed = of.status === "failed" || of.files.failed > 0;
  const rejects = (): Promise<void> => download(`/v1/imports/${of.id}/rejects`, `import-${of.id}-rejects.ndjson`);
  const common = { onDone, isDisabled: !isAllowed };
  return (
    <>
      {isOver && of.status !== "canceled" && of.status !== "done" && (
        <Action
          {...common}
          key="retry"
          label="Retry what failed"
          isPrimary={hasFailed}
          isDisabled={!isAllowed || !hasFailed}
          act={() => api().call("POST /v1/imports/{id}/retry", { params })}
        />
      )}
      {!isOver && of.status === "paused" && (
        <Action
          {...common}
          key="resume"
          label="Resume"
          act={() => api().call("POST /v1/imports/{id}/resume", { params })}
        />
      )}
      {!isOver && of.status !== "paused" && (
        <Action
          {...common}
          key="pause"
          label="Pause"
          act={() => api().call("POST /v1/imports/{id}/pause", { params })}
        />
      )}
      {!isOver && (
        <Action
          {...common}
          key="cancel"
          label="Cancel"
          question="Stop reading?"
          act={() => api().call("POST /v1/imports/{id}/cancel", { params })}
        />
      )}
      <Action key="rejects" label="Download rejects" isDisabled={of.rows.rejected === 0} act={rejects} />
    </>
  );
}

const factsOf = (i: Import): [string, preact.ComponentChildren][] => [
  ["Id", <span class="mono">{i.id}</span>],
  ["Source", <span class="mono">{i.source.url}</span>],
  ["Batch", <IdLink section="batches" id={i.batch_id} />],
  ["Transform", i.transform ?? "none"],
  ["Filter", i.regex_filter === null ? "none" : <span class="mono">{i.regex_filter}</span>],
  ["Repeats", i.cron === null ? "no" : <span class="mono">{i.cron}</span>],
  ["Tolerates", `${i.tolerated_failure_percent} % rejected, from ${plural(i.tolerated_failure_min_rows, "row")} on`],
  ["Made", <When at={i.created_at} />],
  ["By", i.created_by],
  ["Finished", i.finished_at === null ? NONE : <When at={i.finished_at} />],
];
