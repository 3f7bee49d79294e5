import type { Job } from "../../client/client.ts";
import { moment } from "../format.ts";
import { Listing } from "../parts/listing.tsx";
import { Empty, Facts, Panel } from "../parts/panel.tsx";
import { When } from "../parts/when.tsx";
import { api, usePages } from "../polling.ts";

const SCHEDULE_MS = 30_000;

export function JobSchedule({ job }: { job: Job }) {
  const load = async () => {
    const { data } = await api().call("GET /v1/jobs/{job}/schedule", { params: { job: job.id }, query: { count: 20 } });
    return { data, next_cursor: null };
  };
  const pages = usePages(`schedule ${job.id} ${job.version_id}`, load, SCHEDULE_MS);
  return (
    <div class="stack">
      <Panel title="Schedule">
        <div class="panel-body">
          <Facts
            of={[
              ["Cron", job.cron === null ? "none" : <span class="mono">{job.cron}</span>],
              ["Time zone", job.timezone],
              [
                "While one still runs",
                { allow: "starts another", skip: "skips it", cancel_running: "cancels it" }[job.cron_overlap_policy],
              ],
              [
                "Open",
                job.execution_window_cron === null ? "always" : <span class="mono">{job.execution_window_cron}</span>,
              ],
            ]}
          />
        </div>
      </Panel>
      <Panel title="Next times">
        <Listing
          label="Next times"
          pages={pages}
          keyOf={(at) => at}
          columns={[
            { title: "When", isMain: true, cell: (at) => <span class="number">{moment(at)}</span> },
            { title: "UTC", cell: (at) => <span class="mono">{at}</span> },
            { title: "From now", cell: (at) => <When at={at} /> },
          ]}
          empty={<Empty title={job.cron === null ? "This job has no cron" : "It fires no more"} />}
        />
      </Panel>
    </div>
  );
}
