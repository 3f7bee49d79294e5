import { assertNever } from "../domain/error.ts";
import { ledgerId } from "../domain/id.ts";
import type { Sealed } from "../domain/job.ts";
import type { Notice, WebhookEvent, WebhookNotice } from "../domain/notice.ts";
import type { RunRecord, TerminalStatus } from "../domain/run.ts";
import type { Env } from "../env.ts";
import type { WebhookRing } from "../webhooks/protocol.ts";
import { type Batch, batchId } from "./batch.ts";
import type { Lane } from "./lane.ts";
import type { LedgerRun } from "./ledger.ts";
import type { JobConfig } from "./protocol.ts";
import { traceOfRun } from "./run-record.ts";
import { announceToWorkflows, ringsOf } from "./workflow-notices.ts";

/**
 * Notices: what a commit announces beside its rows for D1. They are written in the commit's own outbox row, land in D1 in
 * the same transaction as the rows they speak of (or a later one), and then a doorbell is rung. A ring that is lost is made
 * good by the sweeper, which asks D1 for what is due. A job that announces nothing pays nothing.
 *
 * To add a kind; a switch that does not know it does not compile:
 * 1. `domain/notice`: a member of the union, with what its reader needs and an id that follows from what happened. Outboxes
 *    hold it as JSON across upgrades: fields are added, never changed.
 * 2. here: raise it in `announceRun` or `announceBatch`, which run once for each end, whatever the path to it; and ring for
 *    it in `ring`.
 * 3. `store/notices`: the statement that inserts it, `ON CONFLICT DO NOTHING`: any number of arrivals is one.
 * 4. `schedule/minute`: a duty that looks for what was not rung for, bounded and by an index.
 */

/** A run has ended. `record` is its row, bodies beyond the inline size left out. */
export function announceRun(lane: Lane, run: LedgerRun, record: RunRecord): void {
  const config = lane.config as JobConfig;
  const { webhook_url, webhook_secret } = config.current.spec;
  const at = record.finished_at as number;
  if (webhook_url !== null) {
    const id = ledgerId({ at, seq: run.seq, lane: 0, job: config.number });
    const type = `run.${record.status as TerminalStatus}` as const;
    tell(lane.pending.notices, webhook_url, webhook_secret, [
      id,
      type,
      record.id,
      record.batch_id,
      at,
      traceOfRun(lane, run),
    ]);
  }
  announceToWorkflows(lane, run, record);
}

/** A batch has changed: its end is announced the first time that a commit sees it. */
export function announceBatch(notices: Notice[], batch: Batch, config: JobConfig): void {
  const at = batch.finished_at;
  if (at === null || batch.webhook_url === null || batch.announced) return;
  batch.announced = true;
  const id = ledgerId({ at, seq: batch.seq, lane: 0, job: config.number });
  tell(notices, batch.webhook_url, batch.webhook_secret, [
    id,
    "batch.finished",
    null,
    batchId(batch, config),
    at,
    batch.traceparent,
  ]);
}

function tell(notices: Notice[], url: string, secret: Sealed | null, event: WebhookEvent): void {
  const same = notices.find((n): n is WebhookNotice => n.kind === "webhook" && n.url === url && n.secret === secret);
  if (same) same.events.push(event);
  else notices.push({ kind: "webhook", url, secret, events: [event] });
}

/** A queue takes this many messages at once. */
const RINGS_AT_ONCE = 100;

/**
 * Rings for notices that are in D1.
 *
 * @throws what a queue throws; the sweeper finds what was not rung for.
 */
export async function ring(env: Env, projectId: string, notices: readonly Notice[]): Promise<void> {
  const urls = new Set<string>();
  for (const notice of notices) {
    switch (notice.kind) {
      case "webhook":
        urls.add(notice.url);
        break;
      case "workflow_start":
      case "workflow_signal":
        break;
      default:
        assertNever(notice);
    }
  }
  const rings = [...urls].map((url): { body: WebhookRing } => ({ body: { v: 1, project_id: projectId, url } }));
  for (let i = 0; i < rings.length; i += RINGS_AT_ONCE) await env.WEBHOOKS.sendBatch(rings.slice(i, i + RINGS_AT_ONCE));
  const workflows = ringsOf(notices).map((body) => ({ body }));
  for (let i = 0; i < workflows.length; i += RINGS_AT_ONCE) {
    await env.WORKFLOWS.sendBatch(workflows.slice(i, i + RINGS_AT_ONCE));
  }
}
