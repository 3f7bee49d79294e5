import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { zeroCounts } from "../../src/domain/batch.ts";
import { type PaceFacts, paceOf } from "../../src/domain/batch-pace.ts";

/** How fast a batch goes, and when it ends (contract 8). */

const START = 1_800_000_000_000;
const facts = (fields: Partial<PaceFacts> = {}): PaceFacts => ({
  counts: zeroCounts(),
  created: 0,
  startedAt: START,
  finishedAt: null,
  isHeld: false,
  ...fields,
});
const counts = (fields: Partial<PaceFacts["counts"]>) => ({ ...zeroCounts(), ...fields });

describe("the pace of a batch", () => {
  test("is what its calls have ended a second, and the rest at that pace", () => {
    const halfway = facts({ created: 400, counts: counts({ completed: 150, failed: 50, queued: 200 }) });
    expect(paceOf(halfway, START + 10_000)).toEqual({ throughput_per_sec: 20, eta_at: START + 20_000 });
  });

  test("is that of its own time once it has finished, and nothing is expected any more", () => {
    const over = facts({ created: 400, counts: counts({ completed: 400 }), finishedAt: START + 10_000 });
    expect(paceOf(over, START + 99_000)).toEqual({ throughput_per_sec: 40, eta_at: null });
  });

  test.each([
    ["before it started", facts({ created: 9, startedAt: null, counts: counts({ queued: 9 }) })],
    ["before a run has ended", facts({ created: 9, counts: counts({ executing: 9 }) })],
    ["where all were canceled or expired", facts({ created: 9, counts: counts({ canceled: 5, expired: 4 }) })],
  ])("%s there is none", (_, known) => {
    expect(paceOf(known, START + 1_000)).toEqual({ throughput_per_sec: null, eta_at: null });
  });

  test("while nothing more may start, no end is in sight", () => {
    const held = facts({ created: 9, counts: counts({ completed: 1, queued: 8 }), isHeld: true });
    expect(paceOf(held, START + 1_000)).toEqual({ throughput_per_sec: 1, eta_at: null });
  });

  test("an end that no time on the wire can name is none", () => {
    const slow = facts({ created: 1_000_000, counts: counts({ completed: 1, queued: 999_999 }) });
    expect(paceOf(slow, START + 30 * 86_400_000).eta_at).toBeNull();
  });

  test("whatever the counts: an end ahead that can be written, or none; runs that were not called change no pace", () => {
    const some = fc.nat(1_000_000);
    fc.assert(
      fc.property(fc.record({ completed: some, failed: some, queued: some, canceled: some }), some, (c, ms) => {
        const created = c.completed + c.failed + c.queued + c.canceled;
        const pace = paceOf(facts({ created, counts: counts(c) }), START + ms);
        if (pace.eta_at !== null) {
          expect(pace.eta_at).toBeGreaterThanOrEqual(START + ms);
          expect(new Date(pace.eta_at).toISOString()).toMatch(/^\d{4}-/);
        }
        const without = facts({ created: created - c.canceled, counts: counts({ ...c, canceled: 0 }) });
        expect(paceOf(without, START + ms)).toEqual(pace);
      }),
    );
  });
});
