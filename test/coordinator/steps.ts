import fc from "fast-check";
import type { JobSpec } from "../../src/domain/job.ts";
import type { D1Mode } from "./world.ts";

/** What a configuration may turn: the fields that the coordinator acts on. */
export type Knobs = Pick<
  JobSpec,
  | "max_concurrency"
  | "max_attempts"
  | "retry_strategy"
  | "retry_base_secs"
  | "on_lost"
  | "fallback_endpoint_url"
  | "run_ttl_secs"
  | "dedup_window_secs"
  | "version_policy"
  | "backwards_compatible"
  | "enabled"
  | "max_concurrency_per_key"
  | "hold_on_retry_after"
  | "rate_limit_max"
  | "rate_limit_window_secs"
  | "rate_limit_keys"
  | "adaptive_concurrency"
  | "circuit_breaker"
  | "execution_window_cron"
  | "timezone"
>;

export interface ItemSeed {
  payload: string;
  rejected: boolean;
  identity: number | null;
  priority: number;
  key: string | null;
  limits: string[] | null;
  /** Seconds from now; negative: past. */
  later: number | null;
  ttl: number | null;
  max: number | null;
  /** Pins the n-th known version, newest first. */
  version: number | null;
}

export type ResultKind =
  | "success"
  | "rejected"
  | "throttled"
  | "broken"
  | "timeout"
  | "connection"
  | "blocked"
  | "given_back"
  | "given_back_later"
  | "aborted";

export type ChunkKind = "next" | "repeat" | "overlap" | "conflict" | "gap" | "stale_epoch";

/** Numbers named `which` pick among what there is, modulo how many there are. */
export type Step =
  | { do: "configure"; knobs: Partial<Knobs>; paused: boolean; stale: boolean }
  | { do: "single"; items: ItemSeed[]; revision: -1 | 0 | 1 }
  | { do: "open"; max: number | null; threshold: number | null; request: number | null }
  | { do: "chunk"; which: number; items: ItemSeed[]; kind: ChunkKind }
  | { do: "resume" | "release"; which: number }
  | { do: "close"; which: number; seal: boolean; expect: "right" | "wrong" | "nothing" }
  | { do: "seal"; which: number; expect: "right" | "wrong" | "nothing" }
  | {
      do: "exchange";
      slot: number;
      want: number;
      results: ResultKind[];
      begin: number;
      leaving: boolean;
      /** The answer never arrives. */
      lost: boolean;
    }
  | { do: "die"; slot: number }
  | { do: "late"; which: number; result: ResultKind }
  | { do: "cancel_runs"; which: number[] }
  | { do: "cancel_batch"; which: number }
  | { do: "pause_batch"; which: number; paused: boolean }
  | { do: "cancel_where"; status: "delayed" | "queued" | "dequeued" | "executing" | null }
  | { do: "patch_batch"; which: number; max: number | null; threshold: number | null; match: boolean }
  /** Time passes, and alarms fire when they are due. */
  | { do: "pass"; ms: number }
  /** Time passes, and no alarm fires. */
  | { do: "jump"; ms: number }
  | { do: "alarm" | "sweep" | "lose_tickets" | "reboot" }
  | { do: "restart"; crash: boolean }
  | { do: "d1"; mode: D1Mode };

const SMALL_PAYLOADS = ["{}", '{"n":12345678901234567890}', '"ü€😀"', '{ "a" : [1,2,  3] }', "null"];
/** Stands for a payload beyond what a row may hold, so that scripts stay readable. */
export const BIG = "big";

const rarely = <T>(arb: fc.Arbitrary<T>, weight = 5): fc.Arbitrary<T | null> =>
  fc.oneof({ weight, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: arb });

/** A run of this item differs from others in nothing. */
export const PLAIN_ITEM: ItemSeed = {
  payload: "1",
  rejected: false,
  identity: null,
  priority: 0,
  key: null,
  limits: null,
  later: null,
  ttl: null,
  max: null,
  version: null,
};

const item: fc.Arbitrary<ItemSeed> = fc.record({
  payload: fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...SMALL_PAYLOADS) },
    { weight: 1, arbitrary: fc.constant(BIG) },
  ),
  rejected: fc.nat(9).map((n) => n === 9),
  identity: rarely(fc.nat(3), 2),
  priority: fc.constantFrom(0, 0, 0, 1, 2),
  key: rarely(fc.constantFrom("a", "b"), 2),
  limits: rarely(
    fc.constantFrom<string[]>(
      [],
      ["short"],
      ["short:p"],
      ["short:q", "constructor"],
      ["constructor:p:q", "short:p"],
      ["long"],
    ),
    1,
  ),
  later: rarely(fc.integer({ min: -5, max: 20 })),
  ttl: rarely(fc.integer({ min: 1, max: 20 })),
  max: rarely(fc.integer({ min: 1, max: 4 })),
  version: rarely(fc.nat(3), 8),
});

const items = fc.oneof(
  { weight: 4, arbitrary: fc.array(item, { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: fc.integer({ min: 2, max: 40 }).map((n) => Array.from({ length: n }, () => PLAIN_ITEM)) },
);

/** The length of a limit's window stays: a longer one would count what it still knows, and that is memory's affair. */
const named = fc
  .record({ short: fc.constantFrom(1, 2, 3), constructor: fc.constantFrom(null, 1, 2), long: fc.constantFrom(3, 50) })
  .map((max) => [
    { name: "short", max: max.short, window_secs: 4 },
    ...(max.constructor === null ? [] : [{ name: "constructor", max: max.constructor, window_secs: 10 }]),
    { name: "long", max: max.long, window_secs: 20 },
  ]);

const ownRate = fc
  .constantFrom(null, null, 1, 2, 6)
  .map((max) => ({ rate_limit_max: max, rate_limit_window_secs: max === null ? null : 2 }));

const plainKnobs: fc.Arbitrary<Partial<Knobs>> = fc.record(
  {
    max_concurrency: fc.constantFrom(1, 2, 3, 4, null),
    max_attempts: fc.integer({ min: 1, max: 4 }),
    retry_strategy: fc.constantFrom("fixed", "exponential", "linear"),
    retry_base_secs: fc.constantFrom(0, 0, 1, 3),
    on_lost: fc.constantFrom("retry", "retry", "crash"),
    fallback_endpoint_url: fc.constantFrom(null, null, "https://fallback.example/"),
    run_ttl_secs: fc.constantFrom(null, null, 5),
    dedup_window_secs: fc.constantFrom(null, 10, 60),
    version_policy: fc.constantFrom("pin", "latest", "minor"),
    backwards_compatible: fc.boolean(),
    enabled: fc.nat(7).map((n) => n > 0),
    max_concurrency_per_key: fc.constantFrom(null, null, 1, 2),
    hold_on_retry_after: fc.boolean(),
    rate_limit_keys: fc.oneof(fc.constant<JobSpec["rate_limit_keys"]>([]), named, named),
    adaptive_concurrency: fc.constantFrom(null, null, { min: 1, max: 4 }, { min: 2, max: 3 }),
    circuit_breaker: fc.constantFrom(
      null,
      null,
      { failures: 1, window_secs: 5, open_secs: 3 },
      { failures: 3, window_secs: 10, open_secs: 8 },
    ),
    execution_window_cron: fc.constantFrom(null, null, "*/2 * * * *"),
    timezone: fc.constantFrom("UTC", "Asia/Kathmandu"),
  },
  { requiredKeys: [] },
);

const knobs: fc.Arbitrary<Partial<Knobs>> = fc
  .tuple(plainKnobs, rarely(ownRate, 2))
  .map(([plain, rate]) => ({ ...plain, ...rate }));

const result: fc.Arbitrary<ResultKind> = fc.oneof(
  { weight: 5, arbitrary: fc.constant("success" as const) },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      "rejected",
      "throttled",
      "broken",
      "broken",
      "timeout",
      "connection",
      "blocked",
      "given_back",
      "given_back_later",
      "aborted",
    ),
  },
);

const which = fc.nat(30);
const expect = fc.constantFrom("right", "right", "nothing", "wrong");
const max = rarely(fc.integer({ min: 1, max: 3 }), 1);
const threshold = rarely(fc.integer({ min: 0, max: 60 }), 3);

const weighted: [number, fc.Arbitrary<Step>][] = [
  [
    4,
    fc.record({
      do: fc.constant("configure"),
      knobs,
      paused: fc.nat(4).map((n) => n === 4),
      stale: fc.nat(5).map((n) => n === 5),
    }),
  ],
  [
    3,
    fc.record({
      do: fc.constant("single"),
      items: fc.array(item, { minLength: 1, maxLength: 3 }),
      revision: fc.constantFrom(0, 0, 0, 0, -1, 1),
    }),
  ],
  [2, fc.record({ do: fc.constant("open"), max, threshold, request: rarely(fc.nat(1), 2) })],
  [
    5,
    fc.record({
      do: fc.constant("chunk"),
      which,
      items,
      kind: fc.constantFrom("next", "next", "next", "next", "repeat", "overlap", "conflict", "gap", "stale_epoch"),
    }),
  ],
  [1, fc.record({ do: fc.constantFrom("resume", "release"), which })],
  [2, fc.record({ do: fc.constant("close"), which, seal: fc.boolean(), expect })],
  [1, fc.record({ do: fc.constant("seal"), which, expect })],
  [
    16,
    fc.record({
      do: fc.constant("exchange"),
      slot: fc.nat(2),
      want: fc.constantFrom(0, 1, 2, 3, 6, 8),
      results: fc.array(result, { maxLength: 5 }),
      begin: fc.nat(3),
      leaving: fc.nat(15).map((n) => n === 15),
      lost: fc.nat(7).map((n) => n === 7),
    }),
  ],
  [1, fc.record({ do: fc.constant("die"), slot: fc.nat(2) })],
  [2, fc.record({ do: fc.constant("late"), which, result })],
  [1, fc.record({ do: fc.constant("cancel_runs"), which: fc.array(which, { minLength: 1, maxLength: 4 }) })],
  [1, fc.record({ do: fc.constant("cancel_batch"), which })],
  [1, fc.record({ do: fc.constant("pause_batch"), which, paused: fc.boolean() })],
  [
    1,
    fc.record({
      do: fc.constant("cancel_where"),
      status: fc.constantFrom("delayed", "queued", "dequeued", "executing", null),
    }),
  ],
  [1, fc.record({ do: fc.constant("patch_batch"), which, max, threshold, match: fc.boolean() })],
  [8, fc.record({ do: fc.constant("pass"), ms: fc.oneof(fc.nat(1_500), fc.nat(6_000), fc.nat(20_000)) })],
  [2, fc.record({ do: fc.constant("jump"), ms: fc.oneof(fc.nat(3_000), fc.nat(20_000)) })],
  [2, fc.record({ do: fc.constantFrom("alarm", "sweep", "lose_tickets", "reboot") })],
  [3, fc.record({ do: fc.constant("restart"), crash: fc.boolean() })],
  [
    2,
    fc.record({ do: fc.constant("d1"), mode: fc.constantFrom("fine", "refused", "landed", "stray", "slow", "slow") }),
  ],
] as [number, fc.Arbitrary<Step>][];

/** Begins with work, so that few sequences are about nothing. */
export const steps: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.record({ max: max, threshold, items }),
    fc.array(fc.oneof(...weighted.map(([weight, arbitrary]) => ({ weight, arbitrary }))), {
      minLength: 1,
      maxLength: 40,
      size: "max",
    }),
  )
  .map(([first, rest]) => [
    { do: "open", max: first.max, threshold: first.threshold, request: null },
    { do: "chunk", which: 0, items: first.items, kind: "next" },
    ...rest,
  ]);
