import type { BatchRecord } from "../domain/batch.ts";
import type { RunRecord } from "../domain/run.ts";

/**
 * What a coordinator tells those who watch: over one hibernatable WebSocket for each object that an isolate watches. The
 * first message is the present state; the socket is closed after the terminal one.
 */
export type WatchKind = "batch" | "run";

/** What is watched, in the address of the upgrade request. */
export interface WatchTarget {
  kind: WatchKind;
  id: string;
}

/** `ver` rises with every change of the object. */
export interface BatchMessage {
  ver: number;
  ended: boolean;
  batch: BatchRecord;
}

/** The run without its payload, which never changes. */
export interface RunMessage {
  ver: number;
  ended: boolean;
  run: RunRecord;
}

/** Answered by the platform, without waking the object. */
export const PING = "ping";
export const PONG = "pong";

const ORIGIN = "http://coordinator";

export const watchAddress = ({ kind, id }: WatchTarget): string => `${ORIGIN}/watch/${kind}/${id}`;

/** The target of an upgrade request, or null where it is none. */
export function watchTarget(request: Request): WatchTarget | null {
  const [, kind, id] = /^\/watch\/(batch|run)\/([0-9a-f-]{36})$/.exec(new URL(request.url).pathname) ?? [];
  if (request.headers.get("Upgrade") !== "websocket" || id === undefined) return null;
  return kind === "batch" || kind === "run" ? { kind, id } : null;
}
