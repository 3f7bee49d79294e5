import { type Env, parseSettings } from "../env.ts";
import { logError, loggingFor } from "../log.ts";
import { importOf } from "./client.ts";
import { finishImport } from "./finish-task.ts";
import { readTask } from "./index-task.ts";
import { listObjects } from "./list-task.ts";
import type { ImportPorts } from "./ports.ts";
import { type ImportCoordinatorApi, importRingSchema } from "./protocol.ts";

/** A reader takes no new task after this long: queues scale only when batches end. */
const LEAVE_AFTER_MS = 20_000;
const COPY_EVERY_MS = 1_000;

/** Answers a ring: takes what there is to do of the import, piece by piece, until there is nothing or it is time to go. */
export async function readImport(id: string, env: Env, ports: ImportPorts): Promise<void> {
  const coordinator = importOf(env, id);
  const began = Date.now();
  const stopCopying = keepCopying(coordinator, ports);
  try {
    while (Date.now() - began < LEAVE_AFTER_MS) {
      const work = await coordinator.lease();
      switch (work.kind) {
        case "idle":
          return;
        case "list":
          await listObjects(work, coordinator, ports);
          break;
        case "index":
          await readTask(work, coordinator, ports);
          break;
        case "finish":
          await finishImport(work, coordinator, ports);
          break;
      }
    }
  } finally {
    await stopCopying();
  }
}

/** While it is read, lists show its state a second behind at most. */
function keepCopying(coordinator: ImportCoordinatorApi, ports: ImportPorts): () => Promise<void> {
  let copying: Promise<void> = Promise.resolve();
  let isBusy = false;
  const copy = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    try {
      const record = await coordinator.view();
      if (record !== null) await ports.copy(record);
    } catch (error) {
      logError("import_not_copied", {}, error);
    } finally {
      isBusy = false;
    }
  };
  const timer = setInterval(() => {
    copying = copy();
  }, COPY_EVERY_MS);
  return async () => {
    clearInterval(timer);
    await copying;
    await copy();
  };
}

async function answerRing(
  message: Message,
  env: Env,
  ctx: ExecutionContext,
  ports: (env: Env) => ImportPorts,
): Promise<void> {
  const ring = importRingSchema.safeParse(message.body);
  if (!ring.success) {
    logError("import_ring_invalid", { message_id: message.id }, ring.error.message);
    message.ack();
    return;
  }
  const id = ring.data.import;
  // What fails here fails on our side: the lease runs out, and the import rings again.
  const work = loggingFor({ import_id: id }, () =>
    readImport(id, env, ports(env)).catch((error: unknown) => logError("import_fault", {}, error)),
  );
  message.ack();
  // The local queue delivers one batch at a time: a large import would delay all others if it were waited for.
  if (parseSettings(env).environment === "development") ctx.waitUntil(work);
  else await work;
}

/** The handler of the queue "imports": every message is a ring. */
export async function handleImportRings(
  batch: MessageBatch,
  env: Env,
  ctx: ExecutionContext,
  ports: (env: Env) => ImportPorts,
): Promise<void> {
  await Promise.all(batch.messages.map((message) => answerRing(message, env, ctx, ports)));
}
