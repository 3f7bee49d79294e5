import { expect, test } from "vitest";
import type { Env } from "../../src/env.ts";
import { ask, askWith, bindings, newProject } from "./ask.ts";

/** The platform loses a coordinator's answer after the work was done: at a deployment, when an object moves. */

/** Does what it is asked, and loses the first answers. */
function losing(answers: number): Pick<Env, "COORDINATOR"> {
  let left = answers;
  type Method = (...args: unknown[]) => Promise<unknown>;
  const stub = (real: object) =>
    new Proxy(real, {
      get:
        (target, method) =>
        async (...args: unknown[]) => {
          const answer = await (Reflect.get(target, method) as Method)(...args);
          if (method === "accept" && left-- > 0) throw Object.assign(new Error("reset"), { retryable: true });
          return answer;
        },
    });
  const space = bindings.COORDINATOR;
  const lossy = {
    idFromName: (name: string) => space.idFromName(name),
    get: (id: DurableObjectId) => stub(space.get(id)),
  };
  return { COORDINATOR: lossy as unknown as Env["COORDINATOR"] };
}

async function pausedJob() {
  const { key } = await newProject();
  const body = { name: "Orders", slug: "orders", endpoint_url: "http://127.0.0.1:9000/ok" };
  expect((await ask("POST", "/v1/jobs", { key, body })).status).toBe(201);
  await ask("POST", "/v1/jobs/orders/pause", { key });
  const waiting = async () => (await ask("GET", "/v1/jobs/orders/health", { key })).body.waiting;
  return { key, waiting };
}

test.each([{ payload: 1 }, { payload: 1, idempotency_key: "one" }])(
  "a trigger of %o is made once, and answered",
  async (body) => {
    const { key, waiting } = await pausedJob();
    const triggered = await askWith(losing(2), "POST", "/v1/jobs/orders/trigger", { key, body });
    expect(await waiting()).toBe(1);
    const run = await ask("GET", `/v1/runs/${triggered.body.id}`, { key });
    expect(run.body).toMatchObject({ status: "queued", payload: 1 });
  },
);

test("a replay too, alone and with others", async () => {
  const { key, waiting } = await pausedJob();
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) {
    const { id } = (await ask("POST", "/v1/jobs/orders/trigger", { key, body: { payload: i } })).body;
    await ask("POST", `/v1/runs/${id}/cancel`, { key });
    ids.push(id);
  }
  const one = await askWith(losing(2), "POST", `/v1/runs/${ids[0]}/replay`, { key });
  expect([one.status, await waiting()]).toEqual([201, 1]);
  const all = await askWith(losing(2), "POST", "/v1/runs/bulk-replay", { key, body: { run_ids: ids } });
  expect([all.status, await waiting()]).toEqual([200, 4]);
  const made = all.body.data.map((result: { new_run_id: string }) => result.new_run_id);
  expect(new Set([one.body.id, ...made]).size).toBe(4);
  for (const [i, id] of made.entries()) {
    expect((await ask("GET", `/v1/runs/${id}`, { key })).body).toMatchObject({ payload: i, replayed_run_id: ids[i] });
  }
});
