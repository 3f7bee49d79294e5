import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { AcceptAnswer, AcceptRequest } from "../../src/coordinator/protocol.ts";
import { SPEC } from "../fixtures/job-spec.ts";
import { Invocation } from "./consumer.ts";
import { EPOCH, World } from "./world.ts";

/** A request without identities whose answer was lost is asked again: it makes no run twice, whatever happened in between. */

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
});
afterAll(() => {
  vi.useRealTimers();
});

let jobs = 700_000;

async function newWorld(): Promise<World> {
  vi.setSystemTime(EPOCH);
  const number = ++jobs;
  const id = `01900000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
  const world = new World(id, 100, null);
  await world.begin();
  const current = { version: 1, version_id: "ver_1", spec: SPEC };
  await world.stub.configure({ id, number, project_id: "p", revision: 1, paused: false, deleted: false, current }, []);
  return world;
}

const requestOf = (once: string, kinds: boolean[]): AcceptRequest => ({
  ...{ revision: 1, triggered_by: "api", created_by: "admin", traceparent: null, once },
  items: kinds.map((isGood, i) =>
    isGood ? { payload: `${i}` } : { error: { code: "conflict", message: "no", details: [] } },
  ),
});

/** Which runs an answer names. */
const namedBy = (answer: AcceptAnswer): unknown[] => {
  if (answer.kind !== "accepted") throw new Error(answer.kind);
  return answer.outcomes.map((outcome) => (outcome.o === "created" ? [outcome.seq, outcome.at] : outcome));
};

type Step =
  | { do: "send"; kinds: boolean[] }
  | { do: "repeat"; which: number }
  | { do: "restart"; crash: boolean }
  | { do: "pass"; ms: number }
  | { do: "work" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("send" as const), kinds: fc.array(fc.boolean(), { minLength: 1, maxLength: 3 }) }),
  fc.record({ do: fc.constant("repeat" as const), which: fc.nat(3) }),
  fc.record({ do: fc.constant("restart" as const), crash: fc.boolean() }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  fc.constant({ do: "work" as const }),
);

class Play {
  readonly world: World;
  private readonly sent: { request: AcceptRequest; named: unknown[]; at: number }[] = [];
  private consumers = 0;
  made = 0;
  finished = 0;

  constructor(world: World) {
    this.world = world;
  }

  async play(step: Step): Promise<void> {
    if (step.do === "send") return this.send(step.kinds);
    if (step.do === "repeat") return this.repeat(step.which);
    if (step.do === "restart") return this.world.restart(step.crash);
    if (step.do === "work") return this.work();
    vi.setSystemTime(Date.now() + step.ms);
  }

  private async send(kinds: boolean[]): Promise<void> {
    const request = requestOf(`once-${this.sent.length}`, kinds);
    const named = namedBy(await this.world.stub.accept(request));
    this.made += kinds.filter(Boolean).length;
    this.sent.push({ request, named, at: Date.now() });
  }

  /** One of the latest: what is older than half a minute is not asked for again. */
  private async repeat(which: number): Promise<void> {
    const earlier = this.sent.at(-1 - which);
    if (!earlier || earlier.at <= Date.now() - 30_000) return;
    expect(namedBy(await this.world.stub.accept(earlier.request))).toEqual(earlier.named);
  }

  /** A run that has ended, and may have left the ledger, is not made anew either. */
  private async work(): Promise<void> {
    const { stub } = this.world;
    const consumer = new Invocation(`n${jobs}-${++this.consumers}`, "t", this.world.bootId, Date.now());
    const answer = await stub.exchange(consumer.request(2, [], false, Date.now()));
    if (answer.kind !== "granted") throw new Error(answer.kind);
    consumer.acknowledged(answer.calls);
    consumer.begin(answer.calls.length, Date.now());
    const results = answer.calls.map(() => "success" as const);
    await stub.exchange(consumer.request(0, results, true, Date.now()));
    this.finished += answer.calls.length;
  }

  async check(): Promise<void> {
    const { waiting } = await this.world.stub.health();
    expect(waiting).toBe(this.made - this.finished);
  }
}

test("what is asked again is answered again, and made once", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const play = new Play(await newWorld());
      for (const step of steps) await play.play(step);
      await play.check();
    }),
    { numRuns: 40 },
  );
});

test("a few are remembered, for half a minute: the lane's row stays small", async () => {
  const world = await newWorld();
  for (let i = 0; i < 300; i++) await world.stub.accept(requestOf(`once-${i}`, [true]));
  const kept = () => world.inside((_, state) => state.storage.sql.exec("SELECT doc FROM lane").one().doc as string);
  expect(JSON.parse(await kept()).recent).toHaveLength(100);
  vi.setSystemTime(Date.now() + 31_000);
  await world.stub.accept({ ...requestOf("", [true]), once: undefined });
  expect(JSON.parse(await kept()).recent).toEqual([]);
});
