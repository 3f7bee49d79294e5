import { movedConfig, type WranglerConfig } from "./wrangler-config.ts";

/**
 * A tenant's own deployment, made from the project's `wrangler.toml`: the same Worker, with every resource that holds
 * something under a name of the tenant's own.
 */

/** What Cloudflare has to make for it. */
export interface Resources {
  worker: string;
  database: string;
  queues: string[];
  buckets: string[];
}

const TENANT = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** @throws Error that says what a tenant's name may be. */
export function checkName(tenant: string): void {
  if (!TENANT.test(tenant)) {
    throw new Error(`${tenant}: a tenant's name has 1 to 32 of a-z, 0-9 and -, and neither begins nor ends with -`);
  }
}

/** `sluice-deliveries` → `sluice-acme-deliveries`. */
function renamed(base: string, tenant: string, name: string): string {
  if (name !== base && !name.startsWith(`${base}-`)) {
    throw new Error(`${name} does not begin with ${base}: tenants would share it`);
  }
  return `${base}-${tenant}${name.slice(base.length)}`;
}

export function resourcesOf(config: WranglerConfig, tenant: string): Resources {
  const own = (name: string): string => renamed(config.name, tenant, name);
  const [database, ...more] = config.d1_databases ?? [];
  if (database === undefined || more.length > 0) throw new Error("wrangler.toml: expected one D1 database");
  const { producers = [], consumers = [] } = config.queues ?? {};
  const queues = [...producers, ...consumers].map(({ queue }) => own(queue));
  const dead = consumers.flatMap(({ dead_letter_queue: queue }) => (queue === undefined ? [] : [own(queue)]));
  return {
    worker: own(config.name),
    database: own(database.database_name),
    queues: [...new Set([...queues, ...dead])],
    buckets: (config.r2_buckets ?? []).map(({ bucket_name }) => own(bucket_name)),
  };
}

/**
 * The configuration that deploys a tenant.
 *
 * @param root where `wrangler.toml` stands, and `folder` where the result will: paths in it are relative to that.
 */
export function tenantConfig(
  config: WranglerConfig,
  tenant: string,
  databaseId: string,
  place: { root: string; folder: string },
): WranglerConfig {
  const own = (name: string): string => renamed(config.name, tenant, name);
  const { queues, workflows } = config;
  const moved = movedConfig(config, place.root, place.folder);
  return {
    ...moved,
    name: own(config.name),
    d1_databases: moved.d1_databases?.map((database) => ({
      ...database,
      database_name: own(database.database_name),
      database_id: databaseId,
    })),
    r2_buckets: config.r2_buckets?.map((bucket) => ({ ...bucket, bucket_name: own(bucket.bucket_name) })),
    queues: queues && {
      ...queues,
      producers: queues.producers?.map((producer) => ({ ...producer, queue: own(producer.queue) })),
      consumers: queues.consumers?.map((consumer) => ({
        ...consumer,
        queue: own(consumer.queue),
        ...(consumer.dead_letter_queue === undefined ? {} : { dead_letter_queue: own(consumer.dead_letter_queue) }),
      })),
    },
    ...(workflows && { workflows: workflows.map((workflow) => ({ ...workflow, name: own(workflow.name) })) }),
  };
}
