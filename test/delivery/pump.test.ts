import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CallReport, CONSUMER_SILENCE_MS, HEARTBEAT_MS } from "../../src/coordinator/protocol.ts";
import { FAULT_DELAY_MS, type PumpEnd, pump } from "../../src/delivery/pump.ts";
import { MAX_EXCHANGE_BYTES, ReportTray } from "../../src/delivery/report-tray.ts";
import { CALM, type Script, ScriptedLane } from "./scripted-lane.ts";

const HOUR = 3_600_000;
const utf8 = new TextEncoder();

/** Runs a script to the pump's end. `end` is null for a pump that never came to one. */
async function play(over: Partial<Script>): Promise<{ lane: ScriptedLane; end: PumpEnd | null; took: number }> {
  const lane = new ScriptedLane({ ...CALM, ...over });
  const began = lane.clock.now();
  let end: PumpEnd | null = null;
  pump(lane.deps()).then((e) => {
    end = e;
  });
  await lane.clock.runUntil(() => end !== null, began + HOUR);
  const took = lane.clock.now() - began;
  // The leases that are still out fall now; nothing may be in flight by then.
  await lane.clock.runUntil(() => false, began + 2 * HOUR);
  return { lane, end, took };
}

const durations = (max: number) => fc.array(fc.integer({ min: 0, max }), { minLength: 1, maxLength: 8 });

const anyScript = fc.record<Script>({
  width: fc.integer({ min: 1, max: 60 }),
  runs: fc.integer({ min: 0, max: 120 }),
  permits: fc.integer({ min: 1, max: 60 }),
  call_ms: fc.oneof(durations(20), durations(5_000), durations(60_000)),
  prepare_ms: fc.oneof(fc.constant<number[]>([0]), durations(400)),
  there_ms: fc.oneof(durations(5), durations(2_000)),
  back_ms: fc.oneof(durations(5), durations(2_000)),
  fate: fc.oneof(
    fc.constant<Script["fate"]>(["fine"]),
    fc.array(fc.constantFrom("fine" as const, "fine" as const, "lost_there" as const, "lost_back" as const), {
      minLength: 1,
      maxLength: 6,
    }),
    fc
      .array(fc.constantFrom("fine" as const, "lost_back" as const), { minLength: 1, maxLength: 6 })
      .map((list): Script["fate"] => [...list, "hangs"]),
  ),
  start_within_ms: fc.integer({ min: 0, max: 1_000 }),
  cancel_every: fc.integer({ min: 0, max: 5 }),
  fault_every: fc.integer({ min: 0, max: 5 }),
  leave_after_ms: fc.constantFrom(1_000, 20_000),
});

describe("the pump, in any weather", () => {
  test("law: never more calls than slots, nothing reported twice, none begun late or after its lease fell", async () => {
    await fc.assert(
      fc.asyncProperty(anyScript, async (script) => {
        const { lane, end } = await play(script);
        expect(lane.faults).toEqual([]);
        expect(lane.peak).toBeLessThanOrEqual(Math.min(script.width, script.permits));
        expect(lane.inFlight).toBe(0);
        expect(end).not.toBeNull();
        // What was granted was reported, unless the pump was cut off; then the lease takes it back.
        if (end === "done") expect(lane.held).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  test("law: with an hour's patience and answers that arrive, every run is called exactly once", async () => {
    await fc.assert(
      fc.asyncProperty(anyScript, async (script) => {
        const { lane, end } = await play({
          ...script,
          fate: script.fate.map((f) => (f === "hangs" ? "fine" : f)).concat("fine"),
          call_ms: script.call_ms.map((ms) => Math.min(ms, 20_000)),
          there_ms: script.there_ms.map((ms) => Math.min(ms, 100)),
          back_ms: script.back_ms.map((ms) => Math.min(ms, 100)),
          prepare_ms: [0],
          start_within_ms: 60_000,
          leave_after_ms: HOUR,
          cancel_every: 0,
          fault_every: 0,
        });
        expect(lane.faults).toEqual([]);
        expect(end).toBe("done");
        expect(lane.begun).toBe(script.runs);
        expect(lane.everythingReported).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe("the tray of reports", () => {
  const report = (seq: number, result: string): CallReport => ({
    seq,
    attempt: 1,
    fallback: false,
    started_at: 0,
    finished_at: 0,
    outcome: { kind: "response", http_status: 200, result, truncated: false, retry_after_ms: null },
  });

  test("law: an exchange carries at most 8 MiB, at least one report, all of them in order and once", () => {
    const sizes = fc.oneof(fc.nat({ max: 10_000 }), fc.nat({ max: 1_300_000 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(sizes, fc.constantFrom("a", "é", "€")), { maxLength: 40 }), (bodies) => {
        const tray = new ReportTray();
        const reports = bodies.map(([bytes, letter], seq) =>
          report(seq, letter.repeat(bytes / utf8.encode(letter).length)),
        );
        for (const r of reports) tray.put(r, 5);
        const taken: CallReport[] = [];
        while (tray.size > 0) {
          const some = tray.take(9);
          expect(some.length).toBeGreaterThan(0);
          const bytes = some.reduce((sum, r) => sum + utf8.encode(JSON.stringify(r.outcome)).length - 128, 0);
          expect(bytes).toBeLessThanOrEqual(MAX_EXCHANGE_BYTES);
          expect(tray.oldestAt).toBe(tray.size > 0 ? 9 : null);
          taken.push(...some);
        }
        expect(taken).toEqual(reports);
      }),
      { numRuns: 30 },
    );
  });
});

describe("the pump, case by case", () => {
  test("it keeps its slots full: 50 ms calls at width 50 come close to the ideal", async () => {
    const { lane, took } = await play({
      width: 50,
      permits: 50,
      runs: 2_000,
      call_ms: [50],
      there_ms: [1],
      back_ms: [1],
    });
    expect(lane.faults).toEqual([]);
    expect(lane.everythingReported).toBe(true);
    expect((2_000 / 50) * 50).toBeGreaterThan(took * 0.85);
  });

  test("results travel in groups, not one by one", async () => {
    const { lane } = await play({ width: 50, permits: 50, runs: 2_000, call_ms: [5, 7, 6, 9] });
    expect(lane.requests.length).toBeLessThan(2_000 / 8);
  });

  test("a width of 6 is enough for six at a time and no more", async () => {
    const { lane, took } = await play({ width: 6, runs: 600, call_ms: [100] });
    expect(lane.peak).toBe(6);
    expect(took).toBeLessThan((600 / 6) * 100 * 1.1);
  });

  test("a call that lasts is told as begun within half a second, and its consumer speaks up every three", async () => {
    const { lane } = await play({ runs: 2, call_ms: [30_000] });
    const [first, second] = lane.requests;
    expect(second?.request.started.map((s) => s.seq)).toEqual([1, 2]);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeLessThanOrEqual(500);
    const gaps = lane.requests.slice(2).map((r, i) => r.at - (lane.requests[i + 1]?.at ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(HEARTBEAT_MS + 10);
    expect(lane.requests.flatMap((r) => r.request.started)).toHaveLength(2);
  });

  test("an answer that takes longer than start_by is given back, every call of it, and nothing is called", async () => {
    const { lane, end } = await play({ runs: 6, back_ms: [800], there_ms: [300], start_within_ms: 1_000 });
    expect(lane.begun).toBe(0);
    expect([...lane.reports.values()].map((r) => r.outcome.kind)).toEqual(Array(6).fill("given_back"));
    expect([...lane.reports.values()].every((r) => r.started_at === null)).toBe(true);
    expect(end).toBe("done");
  });

  test("a canceled call is hung up within five seconds and reported as aborted", async () => {
    const { lane } = await play({ runs: 4, cancel_every: 2, call_ms: [60_000], leave_after_ms: 20_000 });
    expect(lane.faults).toEqual([]);
    const aborted = [...lane.reports.values()].filter((r) => r.outcome.kind === "aborted");
    expect(aborted.map((r) => r.seq).sort()).toEqual([2, 4]);
    for (const r of aborted) expect(r.finished_at - (lane.canceledAt.get(r.seq) ?? 0)).toBeLessThanOrEqual(5_000);
  });

  test("silence: every call is hung up and the pump stops, though the coordinator never answers", async () => {
    const { lane, end, took } = await play({ runs: 6, call_ms: [60_000], fate: ["fine", "fine", "hangs"] });
    expect(end).toBe("silenced");
    expect(lane.begun).toBe(6);
    expect(lane.inFlight).toBe(0);
    expect(took).toBeLessThanOrEqual(CONSUMER_SILENCE_MS + 500);
    expect(lane.faults).toEqual([]);
  });

  test("a coordinator that is never reached: stopped after the silence, with the first request only", async () => {
    const { lane, end, took } = await play({ fate: ["lost_there"] });
    expect(end).toBe("silenced");
    expect(took).toBe(CONSUMER_SILENCE_MS);
    expect(lane.requests).toEqual([]);
  });

  test("a lost answer is asked for again, word by word", async () => {
    const { lane, end } = await play({ runs: 6, fate: ["lost_back", "lost_back", "fine"] });
    const first = lane.requests.filter((r) => r.request.sequence === 1).map((r) => r.request);
    expect(first).toHaveLength(3);
    expect(first[1]).toEqual(first[0]);
    expect(first[2]).toEqual(first[0]);
    expect([end, lane.everythingReported, lane.faults]).toEqual(["done", true, []]);
  });

  test("it leaves in time: no lease is asked for, the calls in flight are finished, and the last word is `leaving`", async () => {
    const { lane, end } = await play({ runs: 1_000, call_ms: [7_000, 90_000], leave_after_ms: 20_000 });
    expect(end).toBe("done");
    expect(lane.held).toBe(0);
    const began = lane.requests[0]?.at ?? 0;
    for (const { at, request } of lane.requests) if (at > began + 20_010) expect(request.want).toBe(0);
    expect(lane.requests.filter((r) => r.request.leaving)).toHaveLength(1);
    expect(lane.requests.at(-1)?.request.leaving).toBe(true);
    expect([...lane.reports.values()].every((r) => r.outcome.kind === "response")).toBe(true);
  });

  test("it waits for work only while it has nothing in hand, and not once it is to leave", async () => {
    const { lane, end } = await play({ runs: 30, width: 10, call_ms: [5, 40], leave_after_ms: 60 });
    expect(end).toBe("done");
    const known = new Set<number>();
    for (const { at, request } of lane.requests) {
      for (const { seq } of request.results) known.add(seq);
      const isIdle = request.want === 10 && known.size % 10 === 0;
      expect(request.patience_ms === undefined, `at ${at}`).toBe(!isIdle);
    }
  });

  test("a fault of ours: the run is given back at no attempt, and not for at once; the others go on", async () => {
    const { lane, end } = await play({ runs: 40, fault_every: 5 });
    const faulty = [...lane.reports.values()].filter((r) => r.outcome.kind === "given_back");
    expect(faulty.map((r) => r.seq).sort((a, b) => a - b)).toEqual([5, 10, 15, 20, 25, 30, 35, 40]);
    for (const r of faulty) {
      expect(r.started_at).toBeNull();
      expect(r.outcome).toMatchObject({ delay_ms: FAULT_DELAY_MS });
    }
    expect([end, lane.everythingReported, lane.begun, lane.faults]).toEqual(["done", true, 32, []]);
  });

  test("nothing to do: one exchange, no farewell", async () => {
    const { lane, end } = await play({ runs: 0 });
    expect(end).toBe("done");
    expect(lane.requests).toHaveLength(1);
  });
});
