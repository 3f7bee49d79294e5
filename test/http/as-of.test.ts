import { expect, inject, test } from "vitest";
import { ask, newJob, newProject } from "./ask.ts";

test("a list holds every run that was created before its as_of, also one that ended before it was first copied", async () => {
  const { key } = await newProject();
  const job = await newJob(key, { endpoint_url: `${inject("endpointUrl")}/ok` });
  for (let i = 0; i < 4; i++) {
    const { body: made } = await ask("POST", `/v1/jobs/${job.id}/trigger`, { key, body: { payload: i } });
    const { body: run } = await ask("GET", `/v1/runs/${made.id}`, { key });
    for (let isListed = false; !isListed; ) {
      const { body: list } = await ask("GET", `/v1/jobs/${job.id}/runs`, { key });
      isListed = list.data.some(({ id }: { id: string }) => id === made.id);
      if (!isListed) expect(Date.parse(list.as_of)).toBeLessThanOrEqual(Date.parse(run.created_at));
    }
  }
});
