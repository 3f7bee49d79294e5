import { useEffect } from "preact/hooks";
import type { Job } from "../../client/client.ts";
import { learnJobs } from "../job-names.ts";
import { type JobHealth, useHealths } from "../job-watch.ts";
import { Page } from "../page.tsx";
import { Action } from "../parts/action.tsx";
import { Empty, Loading, Problem } from "../parts/panel.tsx";
import { Status } from "../parts/status.tsx";
import { shownTab, Tabs } from "../parts/tabs.tsx";
import { api, usePolled } from "../polling.ts";
import { hrefOf } from "../routing.ts";
import { mayUse } from "../session.ts";
import { BatchList } from "./batches.tsx";
import { JobOverview } from "./job-overview.tsx";
import { JobSchedule } from "./job-schedule.tsx";
import { JobTrigger } from "./job-trigger.tsx";
import { JobVersions } from "./job-versions.tsx";
import { stateOf } from "./jobs.tsx";
import { RunList } from "./runs.tsx";

const TABS = [
  ["overview", "Overview"],
  ["trigger", "Trigger"],
  ["batches", "Batches"],
  ["runs", "Runs"],
  ["versions", "Versions"],
  ["schedule", "Schedule"],
] as const;

const JOB_MS = 3000;

export function JobPage({ id }: { id: string }) {
  const job = usePolled(`job ${id}`, () => api().jobs.get(id), JOB_MS);
  const health = useHealths(job.data === null ? null : [job.data])[job.data?.id ?? ""];
  useEffect(() => {
    if (job.data === null) return;
    learnJobs([job.data]);
    // By its slug it was found; by its id it is found also when it was renamed.
    if (job.data.id !== id) location.replace(hrefOf("jobs", job.data.id));
  }, [job.data, id]);

  if (job.data === null) {
    return (
      <Page title={job.isGone ? "No such job" : "Job"} crumb={["jobs", "Jobs"]}>
        {job.isGone ? <Empty title="It was deleted, or is another project's" /> : <Problem text={job.problem} />}
        {job.problem === null && <Loading lines={8} />}
      </Page>
    );
  }
  const shown = shownTab(TABS);
  return (
    <Page
      title={job.data.name}
      crumb={["jobs", "Jobs"]}
      sub={
        <>
          <span class="mono">{job.data.slug}</span>
          <Status of={stateOf(job.data, health)} />
          <span>version {job.data.version}</span>
        </>
      }
      actions={<Steering job={job.data} onDone={job.refresh} />}
    >
      <div>
        <Tabs names={TABS} shown={shown} />
        {job.isGone ? (
          <p class="note">This job has been deleted. Its runs and batches stay.</p>
        ) : (
          <Problem text={job.problem} />
        )}
        <JobTab shown={shown} job={job.data} health={health} refresh={job.refresh} />
      </div>
    </Page>
  );
}

interface JobTabProps {
  shown: (typeof TABS)[number][0];
  job: Job;
  health: JobHealth | undefined;
  refresh: () => void;
}

function JobTab({ shown, job, health, refresh }: JobTabProps) {
  switch (shown) {
    case "overview":
      return <JobOverview job={job} health={health} />;
    case "trigger":
      return <JobTrigger job={job} />;
    case "batches":
      return <BatchList jobId={job.id} />;
    case "runs":
      return <RunList jobId={job.id} />;
    case "versions":
      return <JobVersions job={job} onRestored={refresh} />;
    case "schedule":
      return <JobSchedule job={job} />;
  }
}

function Steering({ job, onDone }: { job: Job; onDone: () => void }) {
  const isAllowed = mayUse("jobs:write");
  return (
    <>
      {job.paused ? (
        <Action
          key="resume"
          label="Resume"
          act={() => api().jobs.resume(job.id)}
          onDone={onDone}
          isDisabled={!isAllowed}
        />
      ) : (
        <Action
          key="pause"
          label="Pause"
          act={() => api().jobs.pause(job.id)}
          onDone={onDone}
          isDisabled={!isAllowed}
        />
      )}
      <a class="button" href={hrefOf("jobs", job.id, { tab: "trigger" })}>
        Trigger…
      </a>
    </>
  );
}
