import { createExecutionContext, createMessageBatch, getQueueResult, waitOnExecutionContext } from "cloudflare:test";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { firstIdAt } from "../../src/domain/id.ts";
import { batchToWire } from "../../src/http/wire/batch-operations.ts";
import { tendWebhooks } from "../../src/operations/webhooks.ts";
import { purgeDeliveries, restartDelivery } from "../../src/store/webhook-deliveries.ts";
import {
  dueDeliveries,
  holdReceiver,
  receiversDue,
  releaseReceiver,
  reportTries,
} from "../../src/store/webhook-queue.ts";
import { handleRings } from "../../src/webhooks/consumer.ts";
import { callReceiver } from "../../src/webhooks/receiver.ts";
import { AT, delivery, env, heard, hurry, listening, pathOf, statuses, tell, zoo } from "./world.ts";

beforeAll(() => {
  // Faults that the tests make are told of.
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterAll(() => {
  vi.restoreAllMocks();
});

const many = (n: number) => Array.from({ length: n }, () => ({}));

/** The zoo is asked until it has heard `n` calls that it has not answered yet. */
const inFlight = (path: string, n: number) =>
  vi.waitFor(async () => {
    const open = (await heard(path)).filter((call) => call.status === null);
    expect(open).toHaveLength(n);
  });

describe("a receiver's webhooks", () => {
  test("are all delivered, a bounded number at once", async () => {
    const path = pathOf("/ok?ms=20");
    const told = await tell(zoo + path, many(120));
    const { env: mine, rings } = listening();
    await callReceiver(told.receiver, mine, batchToWire);
    expect(await statuses(told)).toEqual({ delivered: 120 });
    const calls = await heard(path);
    expect(calls.map((call) => call.headers["webhook-id"]).sort()).toEqual([...told.ids].sort());
    const open = calls.map(
      ({ began_at }) => calls.filter((c) => c.began_at <= began_at && began_at < (c.ended_at ?? 0)).length,
    );
    expect(Math.max(...open)).toBeGreaterThan(1);
    expect(Math.max(...open)).toBeLessThanOrEqual(6);
    // Nothing waits: nobody rings, and the receiver is forgotten.
    expect(rings).toEqual([]);
    const known = await env.DB.prepare("SELECT 1 FROM webhook_receivers WHERE url = ?").bind(told.receiver.url).first();
    expect(known).toBe(null);
  });

  test("that failed ring when they are due, once", async () => {
    const told = await tell(zoo + pathOf("/status/500"), many(3));
    const { env: mine, rings } = listening();
    await callReceiver(told.receiver, mine, batchToWire);
    expect(await statuses(told)).toEqual({ pending: 3 });
    expect(rings).toMatchObject([{ body: { v: 1, ...told.receiver } }]);
    expect(rings[0]?.delaySeconds).toBeGreaterThanOrEqual(1);
    expect(rings[0]?.delaySeconds).toBeLessThanOrEqual(6);
    // Another ring before they are due calls nobody, and sends no second ring on its way.
    await callReceiver(told.receiver, mine, batchToWire);
    expect(rings).toHaveLength(1);
    expect((await delivery(told)).attempts).toHaveLength(1);
  });

  test("are dead after 8 tries, and keep them all; by hand they get another round under the same id", async () => {
    const path = pathOf("/status/503");
    const told = await tell(zoo + path, [{}]);
    const { env: mine } = listening();
    for (let i = 0; i < 9; i++) {
      await hurry(told);
      await callReceiver(told.receiver, mine, batchToWire);
    }
    const dead = await delivery(told);
    expect(dead).toMatchObject({ status: "dead", next_attempt_at: null });
    expect(dead.attempts.map(({ http_status, error }) => [http_status, error])).toEqual(
      Array.from({ length: 8 }, () => [503, "answered 503: status 503"]),
    );
    await restartDelivery(env, told.receiver.project_id, dead.id, null, Date.now());
    await callReceiver(told.receiver, mine, batchToWire);
    expect(await delivery(told)).toMatchObject({ status: "pending" });
    expect(new Set((await heard(path)).map((call) => call.headers["webhook-id"]))).toEqual(new Set([dead.id]));
    expect((await heard(path)).length).toBe(9);
  });

  test("end with 410 at once, and a redirect is one more failure", async () => {
    const gone = await tell(zoo + pathOf("/status/410"), [{}]);
    const moved = await tell(zoo + pathOf("/redirect?status=308"), [{}]);
    const { env: mine } = listening();
    for (const told of [gone, moved]) await callReceiver(told.receiver, mine, batchToWire);
    expect(await delivery(gone)).toMatchObject({ status: "dead", attempts: [{ http_status: 410 }] });
    expect(await delivery(moved)).toMatchObject({
      status: "pending",
      attempts: [{ http_status: 308, error: "answered 308: redirects are not followed" }],
    });
  });

  test("wait as long as the receiver asks", async () => {
    const told = await tell(zoo + pathOf("/retry-after?secs=3600"), [{}]);
    const { env: mine, rings } = listening();
    await callReceiver(told.receiver, mine, batchToWire);
    const { next_attempt_at, attempts } = await delivery(told);
    expect((next_attempt_at ?? 0) - (attempts[0]?.at ?? 0)).toBeGreaterThanOrEqual(3_600_000);
    expect(rings[0]?.delaySeconds).toBeGreaterThanOrEqual(3_599);
  });
});

describe("one consumer at a time", () => {
  test("calls a receiver; what is told meanwhile is taken along", async () => {
    const path = pathOf("/ok?ms=1500");
    const told = await tell(zoo + path, [{}]);
    const { env: mine } = listening();
    const calling = callReceiver(told.receiver, mine, batchToWire);
    await inFlight(path, 1);
    const later = await tell(zoo + path, [{}], { projectId: told.receiver.project_id });
    await callReceiver(told.receiver, mine, batchToWire);
    expect((await heard(path)).length).toBe(1);
    await calling;
    expect([await delivery(told), await delivery(later)]).toMatchObject([
      { status: "delivered" },
      { status: "delivered" },
    ]);
    expect((await heard(path)).length).toBe(2);
  });

  test("holds it until it lets go, or its time is over, or its boot is", async () => {
    const receiver = { project_id: "holders", url: "https://hooks.example/" };
    const hold = async (holder: string, boot: string | null, now: number) =>
      (await holdReceiver(env.DB, receiver, holder, boot, now, now + 100)) !== null;
    const well = { failures: 0, rests_until: 0 };
    expect(await hold("boot-1#a", "boot-1", 0)).toBe(true);
    expect(await hold("boot-1#b", "boot-1", 99)).toBe(false);
    expect(await hold("boot-1#b", "boot-1", 100)).toBe(true);
    expect(await hold("boot-2#c", "boot-2", 101)).toBe(true);
    // Where no boots are told apart, only time ends a hold; and only the holder lets go.
    expect(await hold("#d", null, 102)).toBe(false);
    await releaseReceiver(env.DB, receiver, "#d", well);
    expect(await hold("#d", null, 102)).toBe(false);
    await releaseReceiver(env.DB, receiver, "boot-2#c", well);
    expect(await hold("#d", null, 102)).toBe(true);
  });

  test("that dies before it reports has its tries made again, under the same id", async () => {
    const path = pathOf("/ok");
    const told = await tell(zoo + path, many(2));
    const { env: mine } = listening();
    const deaf = new Proxy(env.DB, {
      get: (db, name) => {
        if (name !== "prepare") return Reflect.get(db, name).bind(db);
        return (query: string) => {
          if (query.includes("UPDATE webhook_deliveries")) throw new Error("D1_ERROR: refused");
          return db.prepare(query);
        };
      },
    });
    await expect(callReceiver(told.receiver, { ...mine, DB: deaf }, batchToWire)).rejects.toThrow("refused");
    expect(await statuses(told)).toEqual({ pending: 2 });
    await callReceiver(told.receiver, mine, batchToWire);
    expect(await statuses(told)).toEqual({ delivered: 2 });
    const ids = (await heard(path)).map((call) => call.headers["webhook-id"]).sort();
    expect(ids).toEqual([...told.ids, ...told.ids].sort());
  });
});

describe("a receiver that fails call after call", () => {
  const restOf = async ({ receiver: { project_id, url } }: typeof dead) =>
    (await env.DB.prepare("SELECT failures, rests_until FROM webhook_receivers WHERE project_id = ? AND url = ?")
      .bind(project_id, url)
      .first<{ failures: number; rests_until: number }>()) ?? { failures: 0, rests_until: 0 };
  const rested = ({ receiver: { project_id, url } }: typeof dead) =>
    env.DB.prepare("UPDATE webhook_receivers SET rests_until = 1 WHERE project_id = ? AND url = ?")
      .bind(project_id, url)
      .run();
  const toldAt = (at: number, { receiver: { project_id } }: typeof dead) =>
    env.DB.prepare("UPDATE webhook_deliveries SET created_at = ? WHERE project_id = ?").bind(at, project_id).run();
  let dead: Awaited<ReturnType<typeof tell>>;

  test("rests, is probed by one call, and rests for longer; rings and the sweeper leave it alone meanwhile", async () => {
    const path = pathOf("/status/503");
    dead = await tell(zoo + path, many(40));
    await toldAt(Date.now(), dead);
    const { env: mine, rings } = listening();
    await callReceiver(dead.receiver, mine, batchToWire);
    const calls = (await heard(path)).length;
    // Those that were in flight when it was one too many have ended too.
    expect(calls).toBeGreaterThanOrEqual(10);
    expect(calls).toBeLessThanOrEqual(15);
    const rest = await restOf(dead);
    expect(rings.map(({ delaySeconds }) => delaySeconds)).toEqual([expect.closeTo(5, 0)]);
    // Every webhook still waits, as long as its own pause or the rest says.
    expect(await statuses(dead)).toEqual({ pending: 40 });
    expect((await delivery(dead, 39)).next_attempt_at).toBe(rest.rests_until);

    await callReceiver(dead.receiver, mine, batchToWire);
    expect((await heard(path)).length).toBe(calls);
    const due = (now: number) => receiversDue(env.DB, { ...dead.receiver, url: "" }, now, 1);
    expect((await due(rest.rests_until - 1)).due).toEqual([]);
    expect((await due(rest.rests_until)).due).toEqual([dead.receiver]);

    await rested(dead);
    await callReceiver(dead.receiver, mine, batchToWire);
    expect((await heard(path)).length).toBe(calls + 1);
    const longer = await restOf(dead);
    expect(longer.failures).toBe(rest.failures + 1);
    expect(longer.rests_until - Date.now()).toBeGreaterThan(5_000);
  });

  test("is woken by a retry by hand, which goes first", async () => {
    const path = dead.receiver.url.slice(zoo.length);
    const before = (await heard(path)).length;
    const last = dead.ids[39] as string;
    const { next_attempt_at } =
      (await restartDelivery(env, dead.receiver.project_id, last, null, Date.now())) ?? (await delivery(dead, 39));
    expect(next_attempt_at).toBeLessThanOrEqual(Date.now());
    await callReceiver(dead.receiver, listening().env, batchToWire);
    // With the first handful: they leave side by side.
    const first = (await heard(path)).slice(before, before + 6);
    expect(first.map(({ headers }) => headers["webhook-id"])).toContain(last);
  });

  test("lets go of webhooks whose day is over, page after page, without a call", async () => {
    const path = dead.receiver.url.slice(zoo.length);
    const more = await tell(dead.receiver.url, many(200), { projectId: dead.receiver.project_id });
    await toldAt(Date.now() - 27 * 3_600_000, dead);
    await hurry(more);
    await hurry(dead);
    await env.DB.prepare("UPDATE webhook_deliveries SET next_attempt_at = -1 WHERE id = ?").bind(dead.ids[39]).run();
    await rested(dead);
    const before = (await heard(path)).length;
    await callReceiver(dead.receiver, listening().env, batchToWire);
    // But for the one that was sent again by hand, whose day has just begun: here the probe.
    expect(await statuses(dead)).toEqual({ dead: 239, pending: 1 });
    expect((await heard(path)).length).toBe(before + 1);
    expect((await delivery(more)).attempts.at(-1)).toMatchObject({
      http_status: null,
      error: expect.stringContaining("a day is over"),
    });
  });

  test("is asked once more before anything is given up", async () => {
    const told = await tell(zoo + pathOf("/ok"), many(30));
    const { project_id, url } = told.receiver;
    await toldAt(Date.now() - 99 * 3_600_000, told);
    await env.DB.prepare("INSERT INTO webhook_receivers (project_id, url, failures) VALUES (?, ?, 12)")
      .bind(project_id, url)
      .run();
    await callReceiver(told.receiver, listening().env, batchToWire);
    expect(await statuses(told)).toEqual({ delivered: 30 });
  });

  test("that recovers gets all that is due", async () => {
    // It takes each webhook at the second try.
    const path = pathOf("/flaky?fail=1");
    const told = await tell(zoo + path, many(18));
    const { env: mine } = listening();
    await toldAt(Date.now(), told);
    await callReceiver(told.receiver, mine, batchToWire);
    const tried = (await heard(path)).length;
    expect((await restOf(told)).failures).toBe(10);
    await env.DB.prepare("UPDATE webhook_deliveries SET next_attempt_at = ?1 - tries WHERE project_id = ?2")
      .bind(Date.now(), told.receiver.project_id)
      .run();
    await rested(told);
    await callReceiver(told.receiver, mine, batchToWire);
    expect(await statuses(told)).toEqual({ delivered: tried, pending: 18 - tried });
    expect((await restOf(told)).rests_until).toBe(0);
    expect((await heard(path)).length).toBe(tried + 18);
  });
});

describe("a report", () => {
  const report = (id: string, round: number, verdict: Parameters<typeof reportTries>[2][number]["verdict"]) => ({
    id,
    round,
    attempt: { at: AT, http_status: 500, error: 'said "no", \u0000 and ü' },
    verdict,
  });

  test("of an older round leaves the newer one its plan, unless the receiver has taken it", async () => {
    const told = await tell(zoo + pathOf("/ok"), [{}]);
    const project = told.receiver.project_id;
    const [id = ""] = told.ids;
    await restartDelivery(env, project, id, null, 7);
    await reportTries(env.DB, project, [report(id, 1, { status: "dead" })]);
    expect(await delivery(told)).toMatchObject({
      status: "pending",
      next_attempt_at: 7,
      attempts: [{ error: 'said "no", \u0000 and ü' }],
    });
    await reportTries(env.DB, project, [report(id, 1, { status: "delivered" })]);
    expect(await delivery(told)).toMatchObject({ status: "delivered", next_attempt_at: null });
  });

  test("keeps the newest 50 attempts", async () => {
    const told = await tell(zoo + pathOf("/ok"), [{}]);
    const [id = ""] = told.ids;
    for (let i = 0; i < 53; i++) {
      const { attempt, ...rest } = report(id, 1, { status: "pending", next_attempt_at: i });
      await reportTries(env.DB, told.receiver.project_id, [{ ...rest, attempt: { ...attempt, at: i } }]);
    }
    expect((await delivery(told)).attempts.map(({ at }) => at)).toEqual(Array.from({ length: 50 }, (_, i) => i + 3));
  });
});

/** Counts the rows that statements read through it. */
function counting(): { db: D1Database; read: () => number } {
  let rows = 0;
  const count = <T>(result: D1Result<T>): D1Result<T> => {
    rows += result.meta.rows_read;
    return result;
  };
  const counted = (statement: D1PreparedStatement) => ({
    bind: (...values: unknown[]) => counted(statement.bind(...values)),
    run: async () => count(await statement.run()),
    all: async () => count(await statement.all()),
  });
  return {
    db: { prepare: (query: string) => counted(env.DB.prepare(query)) } as unknown as D1Database,
    read: () => rows,
  };
}

test("looking and reporting read no more of a project with a long history, or of a receiver with a long backlog", async () => {
  const cost = async (history: number): Promise<number> => {
    const told = await tell(`https://${crypto.randomUUID()}.example/`, many(history));
    const { db, read } = counting();
    const due = await dueDeliveries(db, told.receiver, [], AT + 10, 5);
    expect(due).toHaveLength(5);
    const attempt = { at: AT, http_status: 200, error: null };
    const verdict = { status: "delivered" } as const;
    const { project_id } = told.receiver;
    await reportTries(
      db,
      project_id,
      due.map(({ id, round }) => ({ id, round, attempt, verdict })),
    );
    expect(await statuses(told)).toMatchObject({ delivered: 5 });
    return read();
  };
  expect(await cost(2_000)).toBeLessThanOrEqual(await cost(20));
});

describe("the sweeper", () => {
  test("finds receivers with something due, however long another's backlog, and rings for them", async () => {
    const project = `sweep-${crypto.randomUUID()}`;
    const dead = await tell("https://dead.example/", many(200), { projectId: project });
    const fine = await tell("https://fine.example/", [{}], { projectId: project });
    const later = await tell("https://later.example/", [{}], { projectId: project });
    await env.DB.prepare("UPDATE webhook_deliveries SET next_attempt_at = ? WHERE project_id = ? AND url = ?")
      .bind(AT + 1_000, project, later.receiver.url)
      .run();
    const { due, next } = await receiversDue(env.DB, { project_id: project, url: "" }, AT + 10, 2);
    expect([due, next]).toEqual([[dead.receiver, fine.receiver], fine.receiver]);
    const rest = await receiversDue(env.DB, fine.receiver, AT + 10, 500);
    expect(rest.due.filter(({ project_id }) => project_id === project)).toEqual([]);
    const { env: mine, rings } = listening();
    await tendWebhooks(mine, AT + 10);
    const rung = rings.map(({ body }) => body).filter(({ project_id }) => project_id === project);
    expect(rung).toEqual([dead, fine].map(({ receiver }) => ({ v: 1, ...receiver })));
  });

  test("leaps along the index", async () => {
    const plan = await env.DB.prepare(
      "EXPLAIN QUERY PLAN SELECT json_array(project_id, url) FROM webhook_deliveries WHERE status = 'pending' AND (project_id, url) > (?1, ?2) ORDER BY project_id, url LIMIT 1",
    )
      .bind("a", "b")
      .all<{ detail: string }>();
    const details = plan.results.map(({ detail }) => detail).join("; ");
    expect(details).toContain("USING COVERING INDEX webhook_deliveries_due");
    expect(details).not.toContain("TEMP B-TREE");
  });

  test("forgets what is old, a bounded number at a time", async () => {
    const project = `01900000-0000-7000-8000-${Math.floor(Math.random() * 2 ** 40)
      .toString(16)
      .padStart(12, "0")}`;
    await env.DB.prepare("INSERT INTO projects (id, name, slug, created_at) VALUES (?1, 'p', ?1, 0)")
      .bind(project)
      .run();
    const told = await tell(zoo + pathOf("/ok"), many(5), { projectId: project });
    const purge = (before: number) => purgeDeliveries(env.DB, firstIdAt(before), 3);
    expect(await purge(AT)).toBe(false);
    expect(await statuses(told)).toEqual({ pending: 5 });
    expect(await purge(AT + 1_000)).toBe(true);
    expect(await statuses(told)).toEqual({ pending: 2 });
    expect(await purge(AT + 1_000)).toBe(false);
    expect(await statuses(told)).toEqual({});
  });
});

test("a slow receiver delays nobody: the queue's handler does not wait for it, others are called meanwhile", async () => {
  const slow = await tell(zoo + pathOf("/ok?ms=5000"), many(6));
  const quick = await tell(zoo + pathOf("/ok"), many(40));
  const { env: mine } = listening();
  const ring = async ({ receiver }: typeof slow, ctx: ExecutionContext) => {
    const body = { v: 1, ...receiver };
    const batch = createMessageBatch("sluice-webhooks", [{ id: "ring", timestamp: new Date(AT), attempts: 1, body }]);
    await handleRings(batch, mine, ctx, batchToWire);
    return batch;
  };
  const slowly = createExecutionContext();
  const ringing = await ring(slow, slowly);
  await inFlight(slow.receiver.url.slice(zoo.length), 6);
  const quickly = createExecutionContext();
  await ring(quick, quickly);
  await waitOnExecutionContext(quickly);
  expect([await statuses(quick), await statuses(slow)]).toEqual([{ delivered: 40 }, { pending: 6 }]);
  expect((await getQueueResult(ringing, slowly)).explicitAcks).toEqual(["ring"]);
  expect(await statuses(slow)).toEqual({ delivered: 6 });
});

test("a message that is no ring is put aside", async () => {
  const ctx = createExecutionContext();
  const batch = createMessageBatch("sluice-webhooks", [
    { id: "odd", timestamp: new Date(AT), attempts: 1, body: { v: 2 } },
  ]);
  await handleRings(batch, env, ctx, batchToWire);
  expect((await getQueueResult(batch, ctx)).explicitAcks).toEqual(["odd"]);
});
