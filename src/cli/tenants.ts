import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatVars, writeSecret } from "./state-dir.ts";
import { checkName, resourcesOf, tenantConfig } from "./tenant-config.ts";
import type { WranglerConfig } from "./wrangler-config.ts";

/** Deployments side by side in one account, one a tenant. What is known of each stands in a folder of its own. */

/** Runs a wrangler command; rejects with its output where it fails. */
export type Wrangler = (args: string[]) => Promise<string>;

export interface TenantsOptions {
  root: string;
  /** Where the tenants' folders stand. They hold secrets. */
  folder: string;
  config: WranglerConfig;
  wrangler: Wrangler;
  say: (line: string) => void;
  /** Prints every step and changes nothing. */
  dryRun: boolean;
}

/** What is kept of a tenant. `done`: steps of `create` that need not be taken again. */
interface Kept {
  name: string;
  database_id: string | null;
  done: string[];
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
/** Stands in a dry run for what is not known yet. */
const UNKNOWN_ID = "00000000-0000-0000-0000-000000000000";

export class Tenants {
  private readonly o: TenantsOptions;

  constructor(options: TenantsOptions) {
    this.o = options;
  }

  /** Its database, queues, buckets, secrets and tables, and the Worker. After a failure it goes on where it stopped. */
  async create(name: string): Promise<void> {
    checkName(name);
    const resources = resourcesOf(this.o.config, name);
    const kept = this.read(name) ?? { name, database_id: null, done: [] };
    await this.step(kept, `database ${resources.database}`, async () => {
      kept.database_id = await this.databaseId(resources.database);
    });
    for (const queue of resources.queues) {
      await this.step(kept, `queue ${queue}`, () => this.made(["queues", "create", queue]));
    }
    for (const bucket of resources.buckets) {
      await this.step(kept, `bucket ${bucket}`, () => this.made(["r2", "bucket", "create", bucket]));
    }
    await this.step(kept, "secrets", async () => this.makeSecrets(name));
    await this.migrate(name, kept);
    await this.deploy(name, kept);
    this.o.say(`Next: make its first project and key with the ADMIN_TOKEN in ${this.path(name, "secrets.env")}`);
  }

  /** The tables, brought up to date. */
  async migrate(name: string, known?: Kept): Promise<void> {
    const kept = known ?? this.existing(name);
    const { database } = resourcesOf(this.o.config, name);
    this.writeConfig(name, kept);
    await this.wrangler([
      "d1",
      "migrations",
      "apply",
      database,
      "--remote",
      "--config",
      this.path(name, "wrangler.json"),
    ]);
  }

  /** The Worker as it stands here. Tables first: what is deployed may need them. */
  async deploy(name: string, known?: Kept): Promise<void> {
    if (known === undefined) await this.migrate(name);
    else this.writeConfig(name, known);
    const files = ["--config", this.path(name, "wrangler.json"), "--secrets-file", this.path(name, "secrets.env")];
    await this.wrangler(["deploy", ...files]);
  }

  list(): { name: string; worker: string; database_id: string | null }[] {
    if (!existsSync(this.o.folder)) return [];
    return readdirSync(this.o.folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => this.read(name))
      .filter((kept) => kept !== null)
      .map(({ name, database_id }) => ({ name, worker: resourcesOf(this.o.config, name).worker, database_id }))
      .sort((a, b) => a.name.localeCompare(b.name));
  }

  private async step(kept: Kept, what: string, take: () => Promise<void>): Promise<void> {
    if (kept.done.includes(what)) {
      this.o.say(`${what}: there already`);
      return;
    }
    this.o.say(what);
    await take();
    kept.done.push(what);
    this.write(kept);
  }

  /** Makes the database, or finds the one that an earlier try made. */
  private async databaseId(database: string): Promise<string> {
    if (this.o.dryRun) {
      this.print(["d1", "create", database]);
      return UNKNOWN_ID;
    }
    await this.made(["d1", "create", database]);
    const found = UUID.exec(await this.wrangler(["d1", "info", database, "--json"]))?.[0];
    if (found === undefined) throw new Error(`wrangler does not say the id of the database ${database}`);
    return found;
  }

  /** Makes a resource. That it is there already is as good: it bears the tenant's own name. */
  private async made(args: string[]): Promise<void> {
    try {
      await this.wrangler(args);
    } catch (error) {
      if (!/already (exists|taken|in use)/i.test(String(error))) throw error;
    }
  }

  private makeSecrets(name: string): void {
    const file = this.path(name, "secrets.env");
    if (this.o.dryRun) {
      this.o.say(`  write ${file} with a new ADMIN_TOKEN and ENCRYPTION_KEYS`);
      return;
    }
    // Losing the keys loses what they sealed: what stands there stays.
    if (existsSync(file)) return;
    const secrets = {
      ADMIN_TOKEN: randomBytes(32).toString("hex"),
      ENCRYPTION_KEYS: `1:${randomBytes(32).toString("base64")}`,
    };
    mkdirSync(this.path(name), { recursive: true });
    writeSecret(file, formatVars(secrets));
  }

  private writeConfig(name: string, kept: Kept): void {
    const file = this.path(name, "wrangler.json");
    const place = { root: this.o.root, folder: this.path(name) };
    const config = tenantConfig(this.o.config, name, kept.database_id ?? UNKNOWN_ID, place);
    if (this.o.dryRun) this.o.say(`  write ${file}: ${JSON.stringify(config)}`);
    else writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`);
  }

  private async wrangler(args: string[]): Promise<string> {
    this.print(args);
    return this.o.dryRun ? "" : this.o.wrangler(args);
  }

  private print(args: string[]): void {
    this.o.say(`  wrangler ${args.join(" ")}`);
  }

  private path(...parts: string[]): string {
    return join(this.o.folder, ...parts);
  }

  private read(name: string): Kept | null {
    const file = this.path(name, "tenant.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Kept) : null;
  }

  private existing(name: string): Kept {
    checkName(name);
    const kept = this.read(name);
    // Its steps are the same, whoever it will be.
    if (kept === null && this.o.dryRun) return { name, database_id: null, done: [] };
    if (kept === null || kept.database_id === null) {
      throw new Error(`${name} is not known in ${this.o.folder}: npm run tenant -- create ${name}`);
    }
    return kept;
  }

  private write(kept: Kept): void {
    if (this.o.dryRun) return;
    mkdirSync(this.path(kept.name), { recursive: true });
    writeFileSync(this.path(kept.name, "tenant.json"), `${JSON.stringify(kept, null, 2)}\n`);
  }
}
