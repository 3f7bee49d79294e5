import { coordinatorOf } from "../coordinator/client.ts";
import { type CallGrant, type CallPlan, type Ticket, ticketSchema } from "../coordinator/protocol.ts";
import { type Env, parseSettings, type Settings } from "../env.ts";
import { logError } from "../log.ts";
import { beginCall } from "./call.ts";
import { Deadlines } from "./deadlines.ts";
import { EnvironmentBook, type ReadEnvironment, type Variables } from "./environments.ts";
import { type OpenPlan, openPlan, prepareCall, runIdOf } from "./plan.ts";
import { type Clock, type GrantedJob, type Prepared, type PumpEnd, pump } from "./pump.ts";

/** An invocation asks for no new work after this long: queues scale only when batches end. */
const LEAVE_AFTER_MS = 20_000;
const clock: Clock = {
  now: () => Date.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** Opens each version's plan once for each state of its environment, and makes calls from grants. */
function planBook(settings: Settings, read: ReadEnvironment) {
  const open = new Map<number, { variables: Variables | null; plan: Promise<OpenPlan> }>();
  const environments = new EnvironmentBook(settings, read);
  const deadlines = new Deadlines();
  const opened = async (plan: CallPlan, job: GrantedJob): Promise<OpenPlan> => {
    const id = plan.environment_id;
    const variables = id === null ? null : await environments.variables(job.project_id, id, Date.now());
    const known = open.get(plan.version);
    if (known && known.variables === variables) return known.plan;
    const opening = openPlan(plan, job, settings, variables);
    open.set(plan.version, { variables, plan: opening });
    return opening;
  };
  return async (grant: CallGrant, plan: CallPlan | undefined, job: GrantedJob): Promise<Prepared> => {
    if (!plan) throw new Error(`version ${grant.version} was granted without its plan`);
    const openedPlan = await opened(plan, job);
    const call = await prepareCall(openedPlan, grant, job, Date.now());
    const { environmentFallback } = openedPlan;
    return "url" in call
      ? { kind: "ready", begin: () => beginCall(call, deadlines), environmentFallback }
      : { kind: "ended", outcome: call };
  };
}

/** Follows one ticket: asks the job's coordinator for work, does it, reports it, until there is none or it is time to go. */
export function consume(ticket: Ticket, env: Env, read: ReadEnvironment): Promise<PumpEnd> {
  const settings = parseSettings(env);
  const coordinator = coordinatorOf(env, ticket.job, ticket.lane);
  const told = new Set<string>();
  return pump({
    exchange: (request) => coordinator.exchange(request),
    prepare: planBook(settings, read),
    clock,
    fault: (error, run) => {
      // A secret that does not open fails every call of its version: said once an invocation, of the first run it befell.
      if (told.has(String(error))) return;
      told.add(String(error));
      const run_id = run && runIdOf(run.grant, run.job);
      logError("delivery_fault", { job_id: ticket.job, lane: ticket.lane, run_id }, error);
    },
    ticket: ticket.id,
    nonce: crypto.randomUUID(),
    boot: settings.bootId,
    width: settings.pumpWidth,
    leave_after_ms: LEAVE_AFTER_MS,
  });
}

async function handleMessage(message: Message, env: Env, ctx: ExecutionContext, read: ReadEnvironment): Promise<void> {
  const ticket = ticketSchema.safeParse(message.body);
  if (!ticket.success) {
    logError("ticket_invalid", { message_id: message.id }, ticket.error.message);
    message.ack();
    return;
  }
  const { job, lane } = ticket.data;
  const work = consume(ticket.data, env, read).then((end) => {
    if (end !== "done") logError("consumer_cut_off", { job_id: job, lane }, end);
    return end;
  });
  if (parseSettings(env).environment === "development") {
    // The local queue delivers one batch at a time: a slow job would delay all others if it were waited for.
    ctx.waitUntil(work);
    message.ack();
    return;
  }
  // An endpoint's failures are results. Only a coordinator that could not be reached rings once more.
  if ((await work) === "silenced") message.retry();
  else message.ack();
}

/** The queue's handler: every message is a ticket. */
export async function handleBatch(
  batch: MessageBatch,
  env: Env,
  ctx: ExecutionContext,
  read: ReadEnvironment,
): Promise<void> {
  await Promise.all(batch.messages.map((message) => handleMessage(message, env, ctx, read)));
}
