import { coordinatorOf } from "../coordinator/client.ts";
import { CONNECTIONS, mapBounded } from "../domain/bounded.ts";
import { type Env, parseSettings } from "../env.ts";
import { logError } from "../log.ts";
import { type BusyLane, forgetBusyLane, listBusyLanes } from "../store/busy-lanes.ts";
import { purgeRequests } from "../store/idempotent-requests.ts";
import { tellUntold } from "./job-changes.ts";

/** Jobs told, and lanes read at once, in one minute. */
const UNTOLD_PER_MINUTE = 200;
const LANES_PER_PAGE = 500;
const ANSWERS_PER_MINUTE = 1_000;
const ANSWERS_KEPT_MS = 24 * 3_600_000;

/**
 * The safety net, once a minute: coordinators that lost their alarm are woken, and configuration that a coordinator was not
 * told is sent again. One indexed query a page, one call a busy lane.
 */
export async function sweepMinute(env: Env, now: number): Promise<void> {
  await tellUntold(env, UNTOLD_PER_MINUTE);
  for (let after = ""; ; ) {
    const lanes = await listBusyLanes(env.DB, after, LANES_PER_PAGE);
    await mapBounded(lanes, CONNECTIONS, (lane) => sweepLane(env, lane));
    const last = lanes[lanes.length - 1];
    if (last === undefined || lanes.length < LANES_PER_PAGE) break;
    after = last.job_id;
  }
  await purgeRequests(env.DB, now - ANSWERS_KEPT_MS, ANSWERS_PER_MINUTE);
}

/** One lane's failure must not leave the others alone. */
async function sweepLane(env: Env, lane: BusyLane): Promise<void> {
  try {
    const { idle } = await coordinatorOf(env, lane.job_id, lane.lane).sweep(parseSettings(env).bootId);
    if (idle) await forgetBusyLane(env.DB, lane);
  } catch (error) {
    logError("sweep_failed", { job_id: lane.job_id }, error);
  }
}
