import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { start as startZoo } from "../fixtures/endpoint/server.ts";
import { type Sluice, startSluice, until } from "./harness.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

interface CronRun {
  status: string;
  triggered_by: string;
  created_by: string;
  payload: { scheduled_at: string };
}

/** As the development server's clock does it, and at the older addresses. */
const CRON_ADDRESSES = ["local/scheduled", "handler/scheduled", "mf/scheduled"];

/** The Cron Trigger at a minute of our choice: three times, as the platform may. */
async function fireThrice(sluice: Sluice, at: number): Promise<void> {
  const query = `cron=${encodeURIComponent("* * * * *")}&time=${at}`;
  const answers = await Promise.all(CRON_ADDRESSES.map((path) => fetch(`${sluice.url}/cdn-cgi/${path}?${query}`)));
  expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(["ok", "ok", "ok"]);
}

/** Makes the local database, whose server is dead, believe that a job has been waiting for its minutes since `at`. */
function downSince(stateDir: string, jobId: string, at: number): void {
  const folder = join(stateDir, "v3", "d1", "miniflare-D1DatabaseObject");
  const changed = readdirSync(folder)
    .filter((name) => name.endsWith(".sqlite") && !name.startsWith("metadata"))
    .map((name) => {
      const db = new DatabaseSync(join(folder, name));
      const { changes } = db
        .prepare("UPDATE jobs SET cron_since = ?1, next_cron_at = ?1 WHERE id = ?2 AND next_cron_at > ?1")
        .run(at, jobId);
      db.close();
      return Number(changes);
    });
  expect(changed).toEqual([1]);
}

test("crons fired again and again, killed, restarted and fired again: one run a minute; a start makes up for an outage", async () => {
  const zoo = await startZoo();
  const before = await startSluice();
  const job = (name: string, cron: string) =>
    before.api.post<{ id: string }>("/v1/jobs", { name, cron, endpoint_url: `${zoo.url}/ok` });
  const runsOf = async (sluice: Sluice, { id }: { id: string }, count: number): Promise<CronRun[]> =>
    until(async () => {
      const { data } = await sluice.api.get<{ data: CronRun[] }>(`/v1/jobs/${id}/runs`);
      return data.length >= count && data.every((run) => run.status === "completed") ? data.reverse() : null;
    });

  // No minute that passes while this runs is one of its own.
  const chosen = Math.floor((Date.now() + 3 * HOUR) / MINUTE) * MINUTE;
  const daily = await job("Daily", `${new Date(chosen).getUTCMinutes()} ${new Date(chosen).getUTCHours()} * * *`);
  await fireThrice(before, chosen - MINUTE);
  await fireThrice(before, chosen);
  await runsOf(before, daily, 1);
  const stopped = await job("Stopped", "*/10 * * * *");
  await before.signalGroup("SIGKILL");
  await until(() => before.processes().length === 0);

  const startedAt = Date.now();
  downSince(before.stateDir, stopped.id, startedAt - 2 * HOUR);
  const after = await startSluice({ stateDir: before.stateDir, port: before.port });
  // Nobody fires this one but the server's own clock: of the twelve minutes that were missed the latest runs.
  const [madeUpFor] = await runsOf(after, stopped, 1);
  const minute = Date.parse(madeUpFor?.payload.scheduled_at ?? "");
  expect(minute % (10 * MINUTE)).toBe(0);
  expect(minute).toBeGreaterThan(startedAt - 10 * MINUTE);
  expect(minute).toBeLessThanOrEqual(Date.now());

  await fireThrice(after, chosen);
  await fireThrice(after, chosen + MINUTE);
  await fireThrice(after, chosen + DAY);
  const runs = await runsOf(after, daily, 2);
  expect(runs.map((run) => Date.parse(run.payload.scheduled_at))).toEqual([chosen, chosen + DAY]);
  for (const run of runs) expect(run).toMatchObject({ triggered_by: "cron", created_by: "system:cron" });
  await after.signalGroup("SIGINT");
  await zoo.stop();
});
