import { laneName } from "../domain/id.ts";
import type { Env } from "../env.ts";
import { type WatchTarget, watchAddress } from "./watch-protocol.ts";

/**
 * Opens a socket to a job's coordinator. The caller adds its listeners at once: nothing is read before.
 *
 * @returns null where the coordinator does not know the object (any more): the copy has it, or nobody.
 * @throws what the platform throws where the object cannot be reached.
 */
export async function openWatch(env: Env, jobId: string, target: WatchTarget, lane = 0): Promise<WebSocket | null> {
  const stub = env.COORDINATOR.get(env.COORDINATOR.idFromName(laneName(jobId, lane)));
  const response = await stub.fetch(watchAddress(target), { headers: { Upgrade: "websocket" } });
  if (response.status === 404) return null;
  if (response.webSocket === null) throw new Error(`a coordinator answered a watcher with ${response.status}`);
  response.webSocket.accept();
  return response.webSocket;
}
