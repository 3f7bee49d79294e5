import { parseLedgerId } from "../domain/id.ts";
import { isTerminal } from "../domain/run.ts";
import { markedVersion } from "../domain/version-mark.ts";
import { batchRecord } from "./batch.ts";
import { findBatch } from "./batch-book.ts";
import type { Lane } from "./lane.ts";
import { findInOutbox } from "./outbox.ts";
import type { JobConfig } from "./protocol.ts";
import { readRun } from "./steering.ts";
import { type BatchMessage, PING, PONG, type RunMessage, type WatchTarget, watchTarget } from "./watch-protocol.ts";

/** At most four pushes a second, and none later than this. A little more than a quarter, for the clocks of the way. */
const PUSH_EVERY_MS = 280;

/** One watched batch or run, with the sockets of all isolates that watch it. */
interface Watched {
  target: WatchTarget;
  sockets: Set<WebSocket>;
  /** The status that the sockets were told last. */
  told: string | null;
  pushedAt: number;
  /** A change waits for its turn. */
  timer: ReturnType<typeof setTimeout> | null;
}

interface State {
  /** A batch's status; of a run, what a consumer does with it. Its changes are pushed at once. */
  status: string;
  message: BatchMessage | RunMessage;
}

/**
 * Who watches this lane. Hibernatable sockets: an idle watcher keeps no object in memory. What is kept here is built anew
 * from the sockets' attachments at every start.
 */
export class Watchers {
  private readonly ctx: DurableObjectState;
  private readonly load: () => Lane | null;
  private readonly now: (lane: Lane) => number;
  /** By the ledger's number: batches and runs share one sequence. */
  private readonly watched = new Map<number, Watched>();

  constructor(ctx: DurableObjectState, load: () => Lane | null, now: (lane: Lane) => number) {
    this.ctx = ctx;
    this.load = load;
    this.now = now;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    for (const socket of ctx.getWebSockets()) this.add(socket, socket.deserializeAttachment() as WatchTarget);
  }

  /** The upgrade request of an isolate. 404 for what this lane does not know. */
  accept(request: Request): Response {
    const target = watchTarget(request);
    const lane = target === null ? null : this.load();
    const state = target === null || lane === null ? null : this.stateOf(lane, target);
    if (target === null || state === null) return new Response(null, { status: 404 });
    const { 0: theirs, 1: ours } = new WebSocketPair();
    this.ctx.acceptWebSocket(ours);
    ours.serializeAttachment(target);
    ours.send(JSON.stringify(state.message));
    if (state.message.ended) ours.close(1000, "ended");
    else this.add(ours, target).told ??= state.status;
    return new Response(null, { status: 101, webSocket: theirs });
  }

  /** A socket has gone. */
  drop(socket: WebSocket): void {
    const target = socket.deserializeAttachment() as WatchTarget | null;
    const seq = target === null ? undefined : parseLedgerId(target.id)?.seq;
    const watched = seq === undefined ? undefined : this.watched.get(seq);
    if (seq === undefined || watched === undefined) return;
    watched.sockets.delete(socket);
    if (watched.sockets.size === 0) this.forget(seq, watched);
  }

  /** A transaction is over: tells those who watch what it has changed. */
  tell(lane: Lane): void {
    if (this.watched.size === 0) return;
    const { batches, noted, seqs } = lane.committed;
    for (const { seq } of batches) this.changed(lane, seq);
    const runs = new Set([...noted, ...seqs]);
    for (const [seq, { target, told }] of this.watched) {
      // That a consumer took a run, or gave it back, is noted nowhere else.
      if (target.kind === "run" && (runs.has(seq) || told !== heldState(lane, seq))) this.changed(lane, seq);
    }
  }

  private add(socket: WebSocket, target: WatchTarget): Watched {
    const seq = parseLedgerId(target.id)?.seq ?? 0;
    const known = this.watched.get(seq);
    const watched = known ?? { target, sockets: new Set(), told: null, pushedAt: 0, timer: null };
    watched.sockets.add(socket);
    this.watched.set(seq, watched);
    return watched;
  }

  private forget(seq: number, watched: Watched): void {
    if (watched.timer !== null) clearTimeout(watched.timer);
    this.watched.delete(seq);
  }

  private changed(lane: Lane, seq: number): void {
    const watched = this.watched.get(seq);
    const state = watched === undefined ? null : this.stateOf(lane, watched.target);
    if (watched === undefined || state === null) return;
    const now = this.now(lane);
    const isUrgent = watched.target.kind === "run" || state.status !== watched.told;
    if (isUrgent || now - watched.pushedAt >= PUSH_EVERY_MS) this.push(seq, watched, state, now);
    else watched.timer ??= setTimeout(() => this.turn(seq, watched), PUSH_EVERY_MS - (now - watched.pushedAt));
  }

  /** What waited for its turn. */
  private turn(seq: number, watched: Watched): void {
    watched.timer = null;
    const lane = this.load();
    const state = lane === null ? null : this.stateOf(lane, watched.target);
    if (lane !== null && state !== null && this.watched.get(seq) === watched) {
      this.push(seq, watched, state, this.now(lane));
    }
  }

  private push(seq: number, watched: Watched, state: State, now: number): void {
    if (watched.timer !== null) clearTimeout(watched.timer);
    watched.timer = null;
    watched.told = state.status;
    watched.pushedAt = now;
    const text = JSON.stringify(state.message);
    for (const socket of watched.sockets) {
      if (socket.readyState !== WebSocket.OPEN) continue;
      socket.send(text);
      if (state.message.ended) socket.close(1000, "ended");
    }
    if (state.message.ended) this.forget(seq, watched);
  }

  private stateOf(lane: Lane, target: WatchTarget): State | null {
    if (lane.config === null) return null;
    return target.kind === "batch"
      ? batchState(lane, lane.config, target.id, this.now(lane))
      : runState(lane, lane.config, target.id);
  }
}

function batchState(lane: Lane, config: JobConfig, id: string, now: number): State | null {
  const batch = findBatch(lane, id);
  if (batch === null) return null;
  const record = batchRecord(batch, config, now);
  return { status: record.status, message: { ver: record.ver, ended: batch.finished_at !== null, batch: record } };
}

function runState(lane: Lane, config: JobConfig, id: string): State | null {
  const run = readRun(lane, id);
  const seq = parseLedgerId(id)?.seq;
  if (run === null || seq === undefined) return null;
  const ended = isTerminal(run.status);
  // The version that the copy will have.
  const ver = (ended ? findInOutbox(lane.ledger, seq)?.[4] : undefined) ?? lane.state.ver;
  return {
    status: heldState(lane, seq),
    message: { ver: markedVersion(ver, seq, config.number), ended, run: { ...run, payload: null } },
  };
}

/** What a consumer does with a run; changes without a note. */
function heldState(lane: Lane, seq: number): string {
  const held = lane.held.get(seq);
  if (held === undefined) return "waiting";
  return `${held.startedAt === null ? "dequeued" : "executing"} ${held.attempt} ${held.fallback}`;
}
