import { expect } from "vitest";
import { type BatchFacts, type BatchRecord, batchStatus } from "../../src/domain/batch.ts";
import { isTerminal } from "../../src/domain/run.ts";
import type { RefBatch } from "./nouns.ts";
import { BATCH_HOOK, JOB_HOOK, type Play } from "./play.ts";
import { type Copy, env } from "./world.ts";

/** What holds after every step, as the lane's methods show it. Answers whether D1 has everything. */
export async function holdsAtTheLane(play: Play): Promise<boolean> {
  const { reference, world } = play;
  const shown = await world.show(
    reference.runs.map((run) => run.id),
    reference.batches.map((batch) => batch.id),
  );
  const waitingForNow: Record<string, number> = {};
  const startsKnown: number[] = [];
  reference.runs.forEach((run, i) => {
    const record = shown.runs[i] ?? null;
    if (record === null) {
      // D1 knows it.
      if (!isTerminal(run.status)) throw new Error(`run ${run.seq} is ${run.status} and cannot be read`);
      return;
    }
    expect({ seq: run.seq, status: record.status, index: record.batch_index }).toEqual({
      seq: run.seq,
      status: run.status,
      index: run.index,
    });
    if (!isTerminal(run.status)) expect(record.payload).toBe(run.payload);
    expect(record.attempt).toBeLessThanOrEqual(reference.mostAttempts(run));
    if (record.status !== "queued" && record.status !== "delayed") return;
    const { waitingFor, earliest } = reference.reason(run, shown.clock);
    expect([run.seq, record.waiting_for, record.earliest_start_at]).toEqual([run.seq, waitingFor, earliest]);
    if (waitingFor !== null) waitingForNow[waitingFor] = (waitingForNow[waitingFor] ?? 0) + 1;
    if (earliest !== null) startsKnown.push(run.status === "delayed" ? reference.dueFrom(run, shown.clock) : earliest);
  });
  reference.batches.forEach((batch, i) => {
    const record = shown.batches[i] ?? null;
    if (record === null) expect(batch.finishedAt).not.toBe(null);
    else play.watchBatch(record, batch);
  });
  const count = (...statuses: string[]): number => reference.runs.filter((run) => statuses.includes(run.status)).length;
  expect(shown.health).toMatchObject({
    waiting: count("delayed", "queued"),
    executing: count("executing"),
    concurrency_now: reference.held().length,
    concurrency_limit: reference.maxConcurrency,
    waiting_for: waitingForNow,
    earliest_start_at: startsKnown.length === 0 ? null : Math.min(...startsKnown),
  });
  return shown.copied;
}

/** What holds of the copy in D1, in whatever version it is. */
export async function holdsInTheCopy(play: Play, isComplete: boolean): Promise<void> {
  const { reference, world } = play;
  const byId = new Map(reference.runs.map((run) => [run.id, run]));
  const copies = await world.copies();
  for (const copy of copies) {
    const run = byId.get(copy.id);
    if (!run) throw new Error(`D1 holds ${copy.id}, which was never created`);
    if (isTerminal(copy.doc.status ?? copy.status)) expect(copy.status).toBe(run.status);
    if (!isComplete) continue;
    // A grant alone is not copied.
    const expected = run.status === "dequeued" ? ["queued", "dequeued"] : [run.status];
    expect(expected, `the copy of ${run.seq}`).toContain(copy.status);
  }
  if (isComplete) expect(copies.length).toBe(reference.runs.length);
  const batches = await world.batchCopies();
  await holdsOfNotices(play, copies, batches, isComplete);
  for (const record of batches) {
    const { item_count, created_count, duplicate_count, rejected_count, counts } = record;
    expect(item_count).toBe(created_count + duplicate_count + rejected_count);
    expect(created_count).toBe(Object.values(counts).reduce((a, b) => a + b, 0));
    expect(Math.min(...Object.values(counts))).toBeGreaterThanOrEqual(0);
    const seen = play.ends.get(record.id);
    if (record.finished_at !== null && seen !== undefined) expect(record.finished_at).toBe(seen);
    if (record.finished_at !== null) play.ends.set(record.id, record.finished_at);
  }
}

/** What is announced: each end once, and never before D1 knows of it. */
async function holdsOfNotices(play: Play, copies: Copy[], records: BatchRecord[], isComplete: boolean): Promise<void> {
  const runs = new Map(copies.map((copy) => [copy.id, copy]));
  const batches = new Map(records.map((record) => [record.id, record]));
  const told = await play.deliveries();
  for (const { type, run_id, batch_id, url, created_at } of told) {
    if (run_id === null) {
      expect([type, url, created_at]).toEqual(["batch.finished", BATCH_HOOK, batches.get(batch_id ?? "")?.finished_at]);
    } else {
      const run = runs.get(run_id);
      expect([type, url, created_at]).toEqual([`run.${run?.status}`, JOB_HOOK, run?.doc.finished_at]);
    }
  }
  const subjects = told.map(({ run_id, batch_id }) => run_id ?? batch_id).sort();
  expect(subjects).toEqual([...new Set(subjects)]);
  if (!isComplete) return;
  const ended = play.reference.runs.filter((run) => isTerminal(run.status));
  const finished = play.reference.batches.filter((batch) => batch.hooked && batch.finishedAt !== null);
  expect(subjects).toEqual([...ended, ...finished].map(({ id }) => id).sort());
  const urls = new Set(play.world.rings.map(({ url }) => url));
  expect([...urls].sort()).toEqual([...new Set(told.map(({ url }) => url))].sort());
}

const HOURS_MS = 3_600_000;

/**
 * Everything that stood in the way is lifted, and consumers that behave come for every ticket: every run ends, D1 knows it
 * byte for byte, and the lane holds nothing any more.
 */
export async function holdsInTheEnd(play: Play): Promise<void> {
  const { reference, world } = play;
  await world.arrive();
  world.d1 = "fine";
  play.consumers.killAll();
  await play.configure({ enabled: true, max_concurrency: 4 }, false, false);
  for (const batch of reference.batches) {
    await world.stub.sealBatch(batch.id, null);
    batch.sealed = true;
    await world.stub.pauseBatch(batch.id, false);
    batch.paused = false;
  }
  reference.conclude(play.now);
  const until = play.now + 2 * HOURS_MS;
  while (play.now < until) {
    while (world.tickets.length > 0) await serve(play);
    const isOver = reference.runs.every((run) => isTerminal(run.status)) && (await world.alarm()) === null;
    if (isOver) break;
    const alarm = (await world.alarm()) ?? until;
    await play.pass(Math.max(0, Math.min(alarm, until) - play.now));
  }
  expect(reference.runs.filter((run) => !isTerminal(run.status)).map((run) => [run.seq, run.status])).toEqual([]);
  expect(await holdsAtTheLane(play)).toBe(true);
  await holdsInTheCopy(play, true);
  expect(await world.leftovers()).toEqual({});
  const lane = await world.laneDoc();
  expect({ ...lane.counts, retrying: lane.retrying }).toEqual({
    delayed: 0,
    queued: 0,
    dequeued: 0,
    executing: 0,
    retrying: 0,
  });
  await payloadsHold(play);
  for (const record of await world.batchCopies()) {
    const batch = reference.batches.find((b) => b.id === record.id);
    if (batch) await batchEnds(play, batch);
  }
  expect((await world.batchCopies()).length).toBe(reference.batches.length);
}

/** One ticket, from the first exchange to the last. */
export async function serve(play: Play): Promise<void> {
  const invocation = play.consumers.invocation();
  for (let i = 0; i < 1_000; i++) {
    const results = [...invocation.calls.keys()].map(() => "success" as const);
    const request = invocation.request(play.width, results, false, play.now);
    const answer = await play.consumers.send(invocation, request);
    play.consumers.arrive(invocation, request, answer);
    if (invocation.ended) return;
  }
  throw new Error("a consumer is kept for ever");
}

async function payloadsHold(play: Play): Promise<void> {
  const byId = new Map((await play.world.copies()).map((copy) => [copy.id, copy]));
  for (const run of play.reference.runs) {
    const copy = byId.get(run.id);
    const ref = copy?.doc.payload_ref ?? null;
    const payload = ref === null ? copy?.payload : await (await env.BLOBS.get(ref))?.text();
    expect(payload).toBe(run.payload);
  }
}

async function batchEnds(play: Play, batch: RefBatch): Promise<void> {
  const record = (await play.world.batchCopies()).find((r) => r.id === batch.id);
  if (!record) throw new Error(`batch ${batch.seq} is not in D1`);
  play.watchBatch(record, batch);
  const facts: BatchFacts = {
    sealed: true,
    interrupted: false,
    paused: false,
    cancelRequested: batch.canceled,
    stopped: batch.stopped,
    created: play.reference.runsOf(batch).length,
    counts: play.reference.counts(batch),
  };
  expect(record.status).toBe(batchStatus(facts));
  expect(record.finished_at).not.toBe(null);
  const turnedAway = batch.outcomes.flatMap((outcome, i) => (outcome.o === "created" ? [] : [[i, outcome.o]]));
  const rows = await play.world.itemCopies(batch.id);
  expect(rows.map((row) => [row.item_index, row.outcome])).toEqual(turnedAway);
}
