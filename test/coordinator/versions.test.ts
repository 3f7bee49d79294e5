import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { JobConfig } from "../../src/coordinator/protocol.ts";
import { ledgerId } from "../../src/domain/id.ts";
import type { JobVersion, VersionPolicy } from "../../src/domain/job.ts";
import { SPEC } from "../fixtures/job-spec.ts";
import { Invocation } from "./consumer.ts";
import type { ResultKind } from "./steps.ts";
import { EPOCH, World } from "./world.ts";

/** Versions (contract 5) over random histories, at the real coordinator: which one each call uses, and what the run says of it. */

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: EPOCH });
});
afterAll(() => {
  vi.useRealTimers();
});

let jobs = 500_000;

interface Run {
  id: string;
  seq: number;
  triggered: number;
  pinned: boolean;
  /** Versions of the attempts that are closed. */
  attempts: number[];
  /** Of the last call. */
  used: number;
  fallback: boolean;
}

class History {
  readonly number = ++jobs;
  readonly world = new World(`01900000-0000-7000-8000-${this.number.toString(16).padStart(12, "0")}`, 100, null);
  readonly versions: JobVersion[] = [];
  readonly runs: Run[] = [];
  /** How many the coordinator was told of. */
  told = 0;
  private consumers = 0;

  async begin(): Promise<void> {
    vi.setSystemTime(EPOCH);
    await this.world.begin();
    await this.patch("latest", true, true, 1);
  }

  get current(): JobVersion {
    return this.versions[this.told - 1] as JobVersion;
  }

  /** A new version; untold, it is one whose PATCH died on its way to the coordinator. */
  async patch(
    version_policy: VersionPolicy,
    backwards_compatible: boolean,
    isTold: boolean,
    page: number,
  ): Promise<void> {
    const version = this.versions.length + 1;
    const spec = {
      ...SPEC,
      fallback_endpoint_url: "https://fallback.example/",
      retry_base_secs: 0,
      max_attempts: 100,
      version_policy,
      backwards_compatible,
    };
    this.versions.push({ version, version_id: `ver_${version}`, spec });
    if (isTold) await this.tell(page);
  }

  private async tell(page: number): Promise<void> {
    const current = this.versions[this.versions.length - 1] as JobVersion;
    const { jobId: id, stub } = this.world;
    const state = { project_id: "p", revision: current.version, paused: false, deleted: false };
    const config: JobConfig = { id, number: this.number, ...state, current };
    let missing = this.told + 1;
    for (let between: JobVersion[] = []; ; ) {
      const answer = await stub.configure(config, between);
      if (answer.kind === "configured") break;
      // It goes on where it stands: what it has is not asked for again.
      expect(answer.from).toBeGreaterThanOrEqual(missing);
      missing = answer.from;
      between = this.versions.slice(missing - 1, missing - 1 + page);
    }
    this.told = current.version;
  }

  async trigger(named: number | null): Promise<void> {
    const item = named === null ? null : (this.versions[named % this.versions.length] as JobVersion);
    const answer = await this.world.stub.accept({
      ...{ revision: this.current.version, triggered_by: "api", created_by: "admin", traceparent: null },
      items: [{ payload: "1", ...(item === null ? {} : { version: item.version }) }],
      ...(item === null ? {} : { versions: [item] }),
    });
    if (answer.kind !== "accepted" || answer.outcomes[0]?.o !== "created") throw new Error(JSON.stringify(answer));
    const { seq, at } = answer.outcomes[0];
    const triggered = item?.version ?? this.current.version;
    const id = ledgerId({ at, seq, lane: 0, job: this.number });
    this.runs.push({ id, seq, triggered, pinned: item !== null, attempts: [], used: triggered, fallback: false });
  }

  /** By the words of the contract. */
  versionFor(run: Run): number {
    if (run.pinned || this.current.spec.version_policy === "pin") return run.triggered;
    const { version } = this.current;
    if (this.current.spec.version_policy === "latest") return version;
    const first = this.versions.find((v) => v.version > run.triggered && !v.spec.backwards_compatible);
    return first === undefined || first.version > version ? version : first.version - 1;
  }

  /** A consumer takes work, begins it, and reports. */
  async work(want: number, kinds: ResultKind[]): Promise<void> {
    const consumer = new Invocation(`n${this.number}-${++this.consumers}`, "t", this.world.bootId, this.world.now);
    const answer = await this.world.stub.exchange(consumer.request(want, [], false, this.world.now));
    if (answer.kind !== "granted") throw new Error(answer.kind);
    expect(answer.calls.length).toBe(Math.min(want, this.runs.length, 3));
    for (const call of answer.calls) {
      const run = this.runs.find((r) => r.seq === call.seq) as Run;
      expect(call.fallback).toBe(run.fallback);
      expect(call.version).toBe(run.fallback ? run.used : this.versionFor(run));
      expect(answer.plans.some((plan) => plan.version === call.version)).toBe(true);
    }
    consumer.acknowledged(answer.calls);
    consumer.begin(answer.calls.length, this.world.now);
    const results = answer.calls.map((_, i) => kinds[i % kinds.length] as ResultKind);
    await this.world.stub.exchange(consumer.request(0, results, true, this.world.now));
    answer.calls.forEach((call, i) => {
      const run = this.runs.find((r) => r.seq === call.seq) as Run;
      run.used = call.version;
      run.fallback = results[i] === "broken" && !call.fallback;
      if (!run.fallback) run.attempts.push(call.version);
    });
    await this.check();
    for (const [i, call] of answer.calls.entries()) {
      if (results[i] === "success")
        this.runs.splice(
          this.runs.findIndex((r) => r.seq === call.seq),
          1,
        );
    }
  }

  async check(): Promise<void> {
    for (const run of this.runs) {
      const shown = await this.world.stub.getRun(run.id);
      expect(shown).toMatchObject({ job_version: run.used, job_version_id: `ver_${run.used}` });
      const attempts = run.fallback ? [...run.attempts, run.used] : run.attempts;
      expect(shown?.attempts.map((attempt) => attempt.job_version)).toEqual(attempts);
    }
  }
}

type Command =
  | { do: "patch"; policy: VersionPolicy; compatible: boolean; told: boolean; page: number }
  | { do: "trigger"; named: number | null }
  | { do: "work"; want: number; kinds: ResultKind[] }
  | { do: "restart"; crash: boolean };

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("patch" as const),
      policy: fc.constantFrom<VersionPolicy>("pin", "latest", "minor", "minor"),
      compatible: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
      told: fc.boolean(),
      page: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("trigger" as const), named: fc.option(fc.nat(9), { freq: 4 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("work" as const),
      want: fc.integer({ min: 1, max: 3 }),
      kinds: fc.array(fc.constantFrom<ResultKind>("broken", "broken", "success"), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), crash: fc.boolean() }) },
);

test("each call uses the version that the policy says, and the run remembers it", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 8, maxLength: 40 }), async (commands) => {
      const history = new History();
      await history.begin();
      await history.trigger(null);
      for (const step of commands) {
        if (step.do === "patch") await history.patch(step.policy, step.compatible, step.told, step.page);
        else if (step.do === "trigger") await history.trigger(step.named);
        else if (step.do === "work") await history.work(step.want, step.kinds);
        else await history.world.restart(step.crash);
      }
      await history.check();
    }),
    { numRuns: 40 },
  );
});
