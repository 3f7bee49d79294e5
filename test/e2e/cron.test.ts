import { expect, test } from "vitest";
import { start as startZoo } from "../fixtures/endpoint/server.ts";
import { type Sluice, startSluice, until } from "./harness.ts";

const MINUTE = 60_000;

interface CronRun {
  status: string;
  triggered_by: string;
  created_by: string;
  payload: { scheduled_at: string };
}

/** Fires the Cron Trigger once more, as the platform may. */
const fire = (sluice: Sluice): Promise<number> =>
  fetch(`${sluice.url}/cdn-cgi/local/scheduled?cron=${encodeURIComponent("* * * * *")}`).then((r) => r.status);

test("npm run dev drives crons; fired again and again, killed, restarted and fired again: one run a minute", async () => {
  const zoo = await startZoo();
  const before = await startSluice();
  const { id } = await before.api.post<{ id: string }>("/v1/jobs", {
    name: "Every minute",
    endpoint_url: `${zoo.url}/ok`,
    cron: "* * * * *",
  });
  // Nobody fires it here but the development server's own clock.
  const [call] = await until(() => (zoo.log.length > 0 ? zoo.log : null));
  const { scheduled_at } = JSON.parse(call?.body ?? "{}") as { scheduled_at: string };
  expect(scheduled_at).toMatch(/:00\.000Z$/);

  for (const status of await Promise.all([fire(before), fire(before), fire(before)])) expect(status).toBe(200);
  await before.signalGroup("SIGKILL");
  await until(() => before.processes().length === 0);
  const after = await startSluice({ stateDir: before.stateDir, port: before.port });
  for (const status of await Promise.all([fire(after), fire(after), fire(after)])) expect(status).toBe(200);

  const runs = await until(async () => {
    const { data } = await after.api.get<{ data: CronRun[] }>(`/v1/jobs/${id}/runs`);
    return data.length > 0 && data.every((run) => run.status === "completed") ? data.reverse() : null;
  });
  const first = Date.parse(scheduled_at);
  // A minute may have begun meanwhile.
  const minutes = runs.map((run) => Date.parse(run.payload.scheduled_at));
  expect(minutes).toEqual(runs.map((_, i) => first + i * MINUTE));
  expect(minutes.length).toBeLessThanOrEqual(Math.floor((Date.now() - first) / MINUTE) + 1);
  for (const run of runs) expect(run).toMatchObject({ triggered_by: "cron", created_by: "system:cron" });
  await after.signalGroup("SIGINT");
  await zoo.stop();
});
