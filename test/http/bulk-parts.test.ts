import { describe, expect, test } from "vitest";
import { coordinatorOf } from "../../src/coordinator/client.ts";
import { env, gzipped, linesOf, newWorld, numbered, read, send, streamed, type World } from "./bulk-world.ts";

const keyed = (key: string): Record<string, string> => ({ "Idempotency-Key": key });
const messageOf = (answer: { body: { error: { message: string } } }): string => answer.body.error.message;

describe("a repeated request", () => {
  test("gets the first answer again, and nothing is done twice", async () => {
    const world = await newWorld();
    const body = { items: [...numbered(3), { priority: 99 }], metadata: { a: "b" } };
    const first = await world.bulk(body, "", keyed("k"));
    expect(first.status).toBe(201);
    expect(first.headers.get("Idempotency-Replayed")).toBe(null);
    for (const headers of [keyed("k"), { "X-Idempotency-Key": "k" }]) {
      const again = await world.bulk(body, "", headers);
      expect(again.status).toBe(201);
      expect(again.headers.get("Idempotency-Replayed")).toBe("true");
      expect(again.body).toEqual(first.body);
    }
    expect((await read(world, `/v1/jobs/${world.job.id}/health`)).body.waiting).toBe(3);
    const lines = linesOf(numbered(1500));
    const long = await world.lines(lines, "", keyed("long"));
    const longAgain = await world.lines(lines, "", keyed("long"));
    expect(longAgain.headers.get("Idempotency-Replayed")).toBe("true");
    expect(longAgain.body).toEqual(long.body);
  });

  test("with other items, fewer, more, or other options is a conflict", async () => {
    const world = await newWorld();
    await world.bulk({ items: numbered(3) }, "", keyed("k"));
    await world.lines(linesOf(numbered(3)), "", keyed("lines"));
    for (const items of [numbered(2), numbered(4), numbered(3, 1), [...numbered(3)].reverse()]) {
      expect((await world.bulk({ items }, "", keyed("k"))).status).toBe(409);
      expect((await world.lines(linesOf(items), "", keyed("lines"))).status).toBe(409);
    }
    expect((await world.bulk({ items: numbered(3), max_concurrency: 1 }, "", keyed("k"))).status).toBe(409);
    expect((await world.bulk({ items: numbered(3) }, "?open=true", keyed("k"))).status).toBe(409);
    expect((await world.bulk({ items: numbered(3) }, "", keyed("k"))).status).toBe(201);
    expect((await world.bulk({ items: numbered(1) }, "", keyed("x".repeat(257)))).status).toBe(422);
  });

  test("while the first one runs is a conflict that says when to come again", async () => {
    const world = await newWorld();
    const lines = linesOf(numbered(1200));
    let second: Awaited<ReturnType<World["lines"]>> | null = null;
    const between = async (): Promise<void> => {
      second ??= await world.lines(lines, "", keyed("k"));
    };
    const first = await world.lines(streamed([`${lines}\n`], { between }), "", keyed("k"));
    expect(first.body).toMatchObject({ total: 1200, created: 1200 });
    expect(second).toMatchObject({ status: 409 });
    expect(Number((second as unknown as Response | null)?.headers.get("Retry-After"))).toBeGreaterThan(0);
  });

  test("after a cut-off goes on from there: what was taken is compared and skipped", async () => {
    const world = await newWorld();
    const lines = linesOf([...numbered(1700), { priority: 99 }]);
    const cut = await world.lines(streamed([lines.slice(0, 20_000)], { breaksOff: true }), "", keyed("k"));
    expect(cut.status).toBe(400);
    const [batch] = await batchesOf(world);
    expect(batch.status).toBe("accepting");
    expect(batch.item_count).toBeGreaterThan(400);
    const other = await world.lines(linesOf(numbered(1700, 5)), "", keyed("k"));
    expect(other.status).toBe(409);
    const whole = await world.lines(lines, "", keyed("k"));
    expect(whole.status).toBe(201);
    expect(whole.body).toMatchObject({ batch_id: batch.id, total: 1701, created: 1700, rejected: 1, duplicates: 0 });
    expect((await read(world, `/v1/batch-operations/${batch.id}`)).body).toMatchObject({ item_count: 1701 });
    expect((await world.lines(lines, "", keyed("k"))).body).toEqual(whole.body);
  });

  test("the old request can add nothing more", async () => {
    const world = await newWorld();
    const lines = linesOf(numbered(1200));
    let second: Awaited<ReturnType<World["lines"]>> | null = null;
    const between = async (): Promise<void> => {
      if (second !== null) return;
      // As if the first had been silent for long.
      const [batch] = await batchesOf(world);
      await coordinatorOf(env, world.job.id).releaseBatch(batch.id, 1);
      second = await world.lines(lines, "", keyed("k"));
    };
    const first = await world.lines(streamed([`${lines}\n`], { between }), "", keyed("k"));
    expect(second).toMatchObject({ status: 201, body: { total: 1200, created: 1200 } });
    expect(first.status).toBe(409);
    expect((await batchesOf(world)).map((b) => b.item_count)).toEqual([1200]);
  });

  test("one whose batch was closed meanwhile does nothing twice", async () => {
    for (const verb of ["cancel", "seal"]) {
      const world = await newWorld();
      const lines = linesOf(numbered(1200));
      let closed: string | null = null;
      const between = async (): Promise<void> => {
        if (closed !== null) return;
        const [batch] = await batchesOf(world);
        closed = batch.id;
        expect((await world.post(`/v1/batch-operations/${batch.id}/${verb}`, "{}")).status).toBe(200);
      };
      const first = await world.lines(streamed([`${lines}\n`], { between }), "", keyed("k"));
      expect(first).toMatchObject({ status: 409, body: { batch_id: closed, item_count: 1000 } });
      const again = await world.lines(lines, "", keyed("k"));
      expect(again).toMatchObject({ status: 409, body: { batch_id: closed, error: { code: "conflict" } } });
      expect((await batchesOf(world)).map((b) => b.id)).toEqual([closed]);
    }
  });

  test("a request that was refused before its first item leaves no batch and may be sent again", async () => {
    const world = await newWorld();
    expect((await world.bulk('{"items":[{}', "", keyed("k"))).status).toBe(400);
    expect((await world.bulk({ items: [{ x: 1 }] }, "?atomic=true", keyed("k"))).status).toBe(422);
    expect((await world.lines("", "", keyed("k"))).status).toBe(422);
    expect((await world.bulk({ items: [{}] }, "?atomic=true", keyed("k"))).status).toBe(201);
  });

  /** From the copy: what it has not heard of yet comes within a second. */
  async function batchesOf(world: World): Promise<World["job"][]> {
    const list = async () => (await read(world, "/v1/batch-operations")).body.data;
    await expect.poll(async () => (await list()).length, { timeout: 10_000 }).toBeGreaterThan(0);
    return Promise.all(
      (await list()).map(async (b: { id: string }) => (await read(world, `/v1/batch-operations/${b.id}`)).body),
    );
  }
});

describe("a batch in parts", () => {
  const add = (world: World, id: string, from: number, items: unknown[]) =>
    world.post(`/v1/batch-operations/${id}/items?from_index=${from}`, JSON.stringify({ items }));
  const seal = (world: World, id: string, body: unknown = {}) =>
    world.post(`/v1/batch-operations/${id}/seal`, JSON.stringify(body));

  test("takes the next index, skips what it has, refuses gaps and other bytes, and closes once", async () => {
    const world = await newWorld();
    const opened = await world.bulk({ items: numbered(3) }, "?open=true");
    const id = opened.body.batch_id;
    expect((await read(world, `/v1/batch-operations/${id}`)).body).toMatchObject({
      status: "accepting",
      accepted_at: null,
      item_count: 3,
    });

    const next = await add(world, id, 3, [...numbered(2, 3), { priority: 99 }]);
    expect(next.status).toBe(201);
    expect(next.body).toMatchObject({ batch_id: id, total: 3, created: 2, rejected: 1, item_count: 6, taken: 0 });
    expect(next.body.results.map((r: { index: number }) => r.index)).toEqual([3, 4, 5]);

    const overlapping = await add(world, id, 2, [...numbered(3, 2), { priority: 99 }, ...numbered(1, 6)]);
    expect(overlapping.body).toMatchObject({ total: 5, item_count: 7 });
    expect(overlapping.body.results[1].id).toBe(next.body.results[0].id);

    const gap = await add(world, id, 9, numbered(1));
    expect(gap.status).toBe(409);
    expect(gap.body.item_count).toBe(7);
    const conflict = await add(world, id, 5, numbered(1, 77));
    expect(conflict.status).toBe(409);
    expect(messageOf(conflict)).toMatch(/item 5 /);

    const lines = await world.post(`/v1/batch-operations/${id}/items?from_index=7`, linesOf(numbered(1300, 7)), {
      "Content-Type": "application/x-ndjson",
    });
    expect(lines.body).toMatchObject({ total: 1300, created: 1300, item_count: 1307, results: null });
    const repeated = await add(world, id, 1200, numbered(107, 1200));
    expect(repeated.body).toMatchObject({ total: 107, item_count: 1307, taken: 107 });

    expect((await seal(world, id, { expected_count: 1306 })).body).toMatchObject({ item_count: 1307 });
    const sealed = await seal(world, id, { expected_count: 1307 });
    expect(sealed.status).toBe(200);
    expect(sealed.body).toMatchObject({
      id,
      item_count: 1307,
      created_count: 1306,
      rejected_count: 1,
      status: "queued",
    });
    expect(sealed.headers.get("ETag")).toMatch(/^"\d+"$/);
    expect((await seal(world, id)).status).toBe(200);
    expect((await add(world, id, 1307, numbered(1))).status).toBe(409);
    expect((await world.post(`/v1/batch-operations/${id}/cancel`, "{}")).status).toBe(200);
    await expect
      .poll(async () => (await read(world, `/v1/batch-operations/${id}`)).body.status, { timeout: 20_000 })
      .toBe("canceled");
    expect((await seal(world, id)).status).toBe(409);
  });

  test("says no options, needs an index, and is its project's own", async () => {
    const world = await newWorld();
    const stranger = await newWorld();
    const id = (await world.bulk({ items: numbered(1) }, "?open=true")).body.batch_id;
    const path = `/v1/batch-operations/${id}/items`;
    expect((await world.post(path, '{"items":[{}]}')).status).toBe(422);
    expect((await world.post(`${path}?from_index=1`, '{"items":[{}],"max_concurrency":1}')).status).toBe(422);
    expect((await world.post(`${path}?from_index=1`, '{"items":[')).status).toBe(400);
    expect((await send(stranger.key, `${path}?from_index=1`, '{"items":[{}]}', {})).status).toBe(404);
    expect((await send(stranger.key, `/v1/batch-operations/${id}/seal`, "{}", {})).status).toBe(404);
    expect((await add(world, id, 1, numbered(1))).status).toBe(201);
    expect((await seal(world, id, { expected: 1 })).status).toBe(422);
  });

  test("a part that broke off is sent again", async () => {
    const world = await newWorld();
    const id = (await world.bulk({ items: numbered(1) }, "?open=true")).body.batch_id;
    const lines = linesOf(numbered(1500, 1));
    const path = `/v1/batch-operations/${id}/items?from_index=1`;
    const type = { "Content-Type": "application/x-ndjson" };
    expect((await world.post(path, streamed([lines.slice(0, 25_000)], { breaksOff: true }), type)).status).toBe(400);
    expect((await world.post(path, lines, type)).body).toMatchObject({ total: 1500, item_count: 1501 });
    expect((await seal(world, id, { expected_count: 1501 })).body).toMatchObject({ created_count: 1501 });
  });
});

describe("gzip", () => {
  const packed = { "Content-Encoding": "gzip" };

  test("is unpacked, in every form", async () => {
    const world = await newWorld();
    expect((await world.lines(await gzipped(linesOf(numbered(3000))), "", packed)).body).toMatchObject({
      created: 3000,
    });
    expect((await world.bulk(await gzipped(JSON.stringify({ items: numbered(20) })), "", packed)).body.created).toBe(
      20,
    );
    expect((await world.trigger(await gzipped('{"payload":1}'), { "Content-Encoding": "x-gzip" })).status).toBe(201);
  });

  test("that is none, cut or spoilt is a 400", async () => {
    const world = await newWorld();
    const body = await gzipped(linesOf(numbered(3000)));
    const spoilt = body.slice();
    spoilt[body.length >> 1] = (spoilt[body.length >> 1] ?? 0) ^ 0xff;
    for (const bytes of [linesOf(numbered(3)), body.slice(0, -1), body.slice(0, body.length >> 1), spoilt, ""]) {
      expect((await world.lines(bytes, "", packed)).status).toBe(400);
    }
    expect((await world.bulk(await gzipped('{"items":[{}'), "", packed)).status).toBe(400);
  });

  test("a bomb is a 413", async () => {
    const world = await newWorld();
    const zeros = new Uint8Array(80 * 1024 * 1024);
    const bomb = await gzipped(zeros);
    expect(bomb.length).toBeLessThan(100_000);
    expect((await world.bulk(bomb, "", packed)).status).toBe(413);
    const bombed = await world.lines(bomb, "", packed);
    expect(bombed.status).toBe(413);
    expect(messageOf(bombed)).toMatch(/times its size/);
    expect((await world.trigger(bomb, packed)).status).toBe(413);
  });

  test("other encodings are not understood", async () => {
    const world = await newWorld();
    for (const encoding of ["br", "deflate", "gzip, gzip"]) {
      expect((await world.lines("{}", "", { "Content-Encoding": encoding })).status).toBe(415);
    }
  });
});
