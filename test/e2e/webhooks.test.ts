import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EndpointZoo, start as startZoo } from "../fixtures/endpoint/server.ts";
import { finishedBatch, type Run, type Sluice, sendNdjson, startSluice, until } from "./harness.ts";

const ITEMS = 300;
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

interface Delivery {
  id: string;
  run_id: string | null;
  status: string;
  attempts: { http_status: number | null }[];
}
interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

let zoo: EndpointZoo;
let sluice: Sluice;
beforeAll(async () => {
  zoo = await startZoo();
  sluice = await startSluice();
});
afterAll(async () => {
  await sluice.signalGroup("SIGINT");
  await zoo.stop();
});

const items = (n: number) => Array.from({ length: n }, (_, i) => ({ payload: { n: i } }));
const newJob = (name: string, hook: string) =>
  sluice.api.post("/v1/jobs", {
    name,
    endpoint_url: `${zoo.url}/ok?job=${name}`,
    webhook_url: `${zoo.url}${hook}`,
    webhook_secret: SECRET,
  });
const heard = (hook: string) => zoo.log.filter((call) => call.path === hook);

async function all<T>(path: string): Promise<T[]> {
  const rows: T[] = [];
  for (let cursor = ""; ; ) {
    const page = await sluice.api.get<Page<T>>(`${path}&limit=200${cursor}`);
    rows.push(...page.data);
    if (page.next_cursor === null) return rows;
    cursor = `&cursor=${page.next_cursor}`;
  }
}

const deliveriesOf = async (run: string): Promise<Delivery[]> =>
  (await sluice.api.get<Page<Delivery>>(`/v1/webhook-deliveries?run_id=${run}`)).data;

test("a dead receiver delays nobody, one that failed hears again, and kill -9 loses none: each end is told under one id", async () => {
  await newJob("flaky", "/flaky?fail=1");
  const flaky = await sluice.api.post<Run>("/v1/jobs/flaky/trigger", {});
  const hook = "/ok?hook=fine&ms=25";
  await newJob("dead", "/hang?hook=dead");
  await newJob("fine", hook);
  const doomed = await sendNdjson(sluice, "dead", items(40));
  await finishedBatch(sluice, doomed.batch_id);
  await until(() => heard("/hang?hook=dead").length > 0);
  await until(async () => (await deliveriesOf(flaky.id))[0]?.attempts.length);

  const { batch_id } = await sendNdjson(sluice, "fine", items(ITEMS));
  await until(() => heard(hook).length > ITEMS / 4);
  await sluice.signalGroup("SIGKILL");
  await until(() => sluice.processes().length === 0);
  expect(heard("/hang?hook=dead").every((call) => call.status === null)).toBe(true);

  sluice = await startSluice({ stateDir: sluice.stateDir, port: sluice.port });
  await finishedBatch(sluice, batch_id);
  const delivered = await until(async () => {
    const rows = await all<Delivery>(`/v1/webhook-deliveries?batch_id=${batch_id}&status=delivered`);
    return rows.length === ITEMS ? rows : null;
  });
  const runs = await all<Run>(`/v1/runs?batch_id=${batch_id}`);
  expect(delivered.map(({ run_id }) => run_id).sort()).toEqual(runs.map(({ id }) => id).sort());
  const ids = new Map(delivered.map(({ id, run_id }) => [run_id, id]));
  const bodies = new Map<string, string>();
  for (const { headers, body } of heard(hook)) {
    const told = JSON.parse(body) as { run_id: string };
    expect(headers["webhook-id"]).toBe(ids.get(told.run_id));
    expect(bodies.get(told.run_id) ?? body).toBe(body);
    bodies.set(told.run_id, body);
    new Webhook(SECRET).verify(body, headers);
  }
  expect(bodies.size).toBe(ITEMS);
  // A ring that the kill took along is made good by the minute, which passes here whenever we ask.
  const again = await until(async () => {
    await fetch(`${sluice.url}/cdn-cgi/local/scheduled?cron=${encodeURIComponent("* * * * *")}`);
    const [delivery] = await deliveriesOf(flaky.id);
    return delivery?.status === "delivered" ? delivery : null;
  }, 250);
  expect(again.attempts.map(({ http_status }) => http_status)).toEqual([503, 200]);
});
