import type { Job } from "../../client/client.ts";
import { type Context, EXIT, firstRows } from "./context.ts";

const columns = {
  slug: (job: Job) => job.slug,
  name: (job: Job) => job.name,
  state: stateOf,
  version: (job: Job) => job.version,
  endpoint: (job: Job) => job.endpoint_url,
};

function stateOf(job: Job): string {
  if (!job.enabled) return "disabled";
  return job.paused ? "paused" : "enabled";
}

export async function listJobs({ client, printer }: Context, options: { limit: number; q?: string }): Promise<number> {
  printer.table(await firstRows(client.jobs.list({ q: options.q }), options.limit), columns, "There are no jobs");
  return EXIT.ok;
}

export async function getJob({ client, printer }: Context, ref: string): Promise<number> {
  const [job, health] = await Promise.all([client.jobs.get(ref), client.jobs.health(ref)]);
  const waitingFor = Object.entries(health.waiting_for).map(([reason, count]) => `${count} ${reason}`);
  printer.fields(
    { ...job, health },
    {
      id: job.id,
      slug: job.slug,
      name: job.name,
      state: stateOf(job),
      endpoint: `${job.endpoint_method} ${job.endpoint_url}`,
      version: `${job.version} (${job.version_id})`,
      concurrency: `${health.concurrency_now} of ${health.concurrency_limit}`,
      "per key": job.max_concurrency_per_key,
      "rate limit": job.rate_limit_max === null ? null : `${job.rate_limit_max} in ${job.rate_limit_window_secs} s`,
      cron: job.cron === null ? null : `${job.cron} ${job.timezone}`,
      waiting: waitingFor.length === 0 ? health.waiting : `${health.waiting} (${waitingFor.join(", ")})`,
      "next start": health.earliest_start_at,
      executing: health.executing,
      "last 24 h": Object.entries(health.last_24h.by_status)
        .filter(([, count]) => count > 0)
        .map(([status, count]) => `${count} ${status}`)
        .join(", "),
    },
  );
  return EXIT.ok;
}

/** `name=value` pairs; a value is JSON where it can be read as JSON, else text. */
function fieldsOf(pairs: string[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) throw new SyntaxError(`${pair}: expected <field>=<value>`);
      return [pair.slice(0, at), readValue(pair.slice(at + 1))];
    }),
  );
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export async function createJob({ client, printer }: Context, pairs: string[]): Promise<number> {
  const job = await client.jobs.create(fieldsOf(pairs) as never);
  printer.show(job, () => `Created ${job.slug} (${job.id})`);
  return EXIT.ok;
}

export async function updateJob({ client, printer }: Context, ref: string, pairs: string[]): Promise<number> {
  const job = await client.jobs.update(ref, fieldsOf(pairs) as never);
  printer.show(job, () => `${job.slug} is at version ${job.version}`);
  return EXIT.ok;
}

export async function setPaused({ client, printer }: Context, ref: string, isPaused: boolean): Promise<number> {
  const job = isPaused ? await client.jobs.pause(ref) : await client.jobs.resume(ref);
  printer.show(job, () => `${job.slug} is ${stateOf(job)}`);
  return EXIT.ok;
}
