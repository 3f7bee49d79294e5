import { expect } from "vitest";
import type { CallGrant, ExchangeAnswer, ExchangeRequest } from "../../src/coordinator/protocol.ts";
import { Invocation } from "./consumer.ts";
import type { RefRun } from "./nouns.ts";
import type { Play } from "./play.ts";
import type { ResultKind, Step } from "./steps.ts";

const SLOTS = 3;

/** The consumers that come with tickets, and those that died: their exchanges, played and compared. */
export class Consumers {
  readonly slots: (Invocation | null)[] = Array.from({ length: SLOTS }, () => null);
  private readonly ghosts: Invocation[] = [];
  private readonly play: Play;

  constructor(play: Play) {
    this.play = play;
  }

  killAll(): void {
    for (const slot of this.slots) if (slot !== null) this.kill(slot);
  }

  kill(invocation: Invocation): void {
    this.play.starts.begun(invocation.begun.splice(0));
    invocation.end();
    this.ghosts.push(invocation);
    const slot = this.slots.indexOf(invocation);
    if (slot !== -1) this.slots[slot] = null;
  }

  /** A new invocation comes with the oldest ticket; now and then a doubled one, which looks no different. */
  invocation(): Invocation {
    const ticket = this.play.world.tickets.shift()?.id ?? this.play.name("doubled");
    return new Invocation(this.play.name("nonce"), ticket, this.play.world.bootId, this.play.now);
  }

  async exchange(step: Step & { do: "exchange" }): Promise<void> {
    let invocation = this.slots[step.slot] ?? null;
    if (invocation !== null && !invocation.isLive(this.play.now)) {
      this.kill(invocation);
      invocation = null;
    }
    invocation ??= this.invocation();
    this.slots[step.slot] = invocation;
    invocation.begin(step.begin, this.play.now);
    const want = Math.max(0, Math.min(step.want, this.play.width - invocation.calls.size));
    const request = invocation.unanswered ?? invocation.request(want, step.results, step.leaving, this.play.now);
    const answer = await this.send(invocation, request);
    if (step.lost) return;
    this.arrive(invocation, request, answer);
  }

  /** Sends, and compares the answer with the rules. */
  async send(invocation: Invocation, request: ExchangeRequest): Promise<ExchangeAnswer> {
    const answer = await this.play.world.stub.exchange(request);
    this.play.starts.begun(invocation.begun.splice(0));
    this.play.journal(`${JSON.stringify(request)} ${JSON.stringify(answer)}`);
    const expected = this.play.reference.exchange(request, this.play.now);
    if (expected.kind === "disowned") expect(answer).toEqual({ kind: "disowned" });
    else if (answer.kind !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
    else if (expected.kind === "again") {
      expect(answer.calls.map((c) => [c.seq, c.attempt])).toEqual(expected.calls.map((h) => [h.run.seq, h.attempt]));
    } else {
      this.grants(invocation, request, answer.calls);
      this.play.reference.forgetIdle(request.nonce);
    }
    for (const run of this.play.reference.mayExpireAtGrant(this.play.now)) {
      if ((await this.play.world.stub.getRun(run.id))?.status === "expired") this.play.reference.expire(run);
    }
    this.play.reference.conclude(this.play.now);
    if (answer.kind === "granted") {
      const canceled = [...(this.play.reference.leases.get(request.nonce)?.held.values() ?? [])].filter(
        (h) => h.canceled,
      );
      expect([...answer.abort].sort()).toEqual(canceled.map((h) => h.run.seq).sort());
    }
    return answer;
  }

  private grants(invocation: Invocation, request: ExchangeRequest, calls: CallGrant[]): void {
    const lines = new Map<string, number>();
    let turn = 0;
    for (const call of calls) {
      const candidates = this.play.reference.candidates(this.play.now);
      const run = this.play.reference.runs.find((r) => r.seq === call.seq);
      if (run === undefined || !candidates.includes(run)) {
        const status = `${run?.status}, may go: ${candidates.map((r) => r.seq)}`;
        throw new Error(`run ${call.seq} was granted, which is ${status}`);
      }
      this.turns(run, candidates, lines, ++turn);
      const held = this.play.reference.grant(run, request, this.play.now);
      this.play.starts.granted(held);
      const { at: createdAt, attempt, fallback, version, payload, batch_index, start_within_ms } = call;
      expect({
        ...{ createdAt, attempt, fallback, version, payload, batch_index, start_within_ms },
        batch_id: call.batch_id,
      }).toEqual({
        createdAt: run.at,
        attempt: held.attempt,
        fallback: held.fallback,
        version: held.version,
        payload: run.payload,
        batch_index: run.index,
        start_within_ms: held.startBy - this.play.now,
        batch_id: run.batch?.id ?? null,
      });
      expect(attempt).toBeLessThanOrEqual(this.play.reference.mostAttempts(run));
      this.nobodyElse(invocation, call);
    }
    // Work is conserved: what was not granted could not go. (One that expired at its grant may have stopped its batch.)
    const isCertain = this.play.reference.mayExpireAtGrant(this.play.now).length === 0;
    if (!request.leaving && isCertain && calls.length < request.want) {
      expect(this.play.reference.candidates(this.play.now).map((run) => run.seq)).toEqual([]);
    }
    expect(calls.length).toBeLessThanOrEqual(request.want);
    if (calls.length > 0) this.permits(invocation, calls.length);
  }

  /** Lines take turns: none goes twice while another that could have gone waits. */
  private turns(run: RefRun, candidates: RefRun[], lines: Map<string, number>, turn: number): void {
    const line = (r: RefRun): string => `${r.priority}/${r.key ?? ""}`;
    const last = lines.get(line(run)) ?? 0;
    if (this.play.reference.mayExpireAtGrant(this.play.now).length > 0) return;
    for (const other of candidates) expect(lines.get(line(other)) ?? 0).toBeGreaterThanOrEqual(last);
    lines.set(line(run), turn);
  }

  private nobodyElse(invocation: Invocation, call: CallGrant): void {
    for (const other of this.slots) {
      if (other === null || other === invocation) continue;
      if (other.inFlight(this.play.now).some((c) => c.seq === call.seq))
        throw new Error(`${call.seq} is in flight elsewhere`);
    }
  }

  /** Permits as the endpoint sees them: calls that living consumers have in flight, these ones included. */
  private permits(invocation: Invocation, granted: number): void {
    const others = this.slots.flatMap((slot) => (slot === null ? [] : slot.inFlight(this.play.now)));
    expect(others.length + granted).toBeLessThanOrEqual(this.play.reference.maxConcurrency);
    expect(invocation.calls.size + granted).toBeLessThanOrEqual(this.play.width);
  }

  arrive(invocation: Invocation, request: ExchangeRequest, answer: ExchangeAnswer): void {
    if (answer.kind === "disowned") {
      this.kill(invocation);
      return;
    }
    invocation.acknowledged(answer.calls);
    if (request.leaving || invocation.calls.size === 0) {
      invocation.end();
      this.slots[this.slots.indexOf(invocation)] = null;
    }
  }

  /** A result of a consumer that is long dead still arrives. */
  async late(which: number, result: ResultKind): Promise<void> {
    const ghost = this.ghosts[which % this.ghosts.length];
    if (!ghost || ghost.calls.size === 0) return;
    await this.send(ghost, ghost.request(0, [result], false, this.play.now));
  }
}
