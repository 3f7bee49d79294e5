import { EventEmitter } from "node:events";

/**
 * Preloaded into wrangler's process (`node --import`): a client that hangs up in the middle of an upload makes wrangler's
 * proxy fail its own request, and wrangler 4.124 takes that for the end of the whole session. It is the end of one request.
 */
const ABORTED = "Error inside ProxyWorker";

interface DevEvent {
  source?: unknown;
  reason?: unknown;
}

const emit = EventEmitter.prototype.emit;

EventEmitter.prototype.emit = function (this: EventEmitter, name: string | symbol, ...args: unknown[]): boolean {
  const event = args[0] as DevEvent | undefined;
  if (name === "error" && event?.source === "ProxyController" && event.reason === ABORTED) {
    console.error("a client hung up before its request was answered");
    return true;
  }
  return emit.call(this, name, ...args);
};
