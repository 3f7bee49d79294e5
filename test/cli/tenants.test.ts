import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkName, resourcesOf, tenantConfig } from "../../src/cli/tenant-config.ts";
import { Tenants } from "../../src/cli/tenants.ts";
import { readWranglerConfig, type WranglerConfig } from "../../src/cli/wrangler-config.ts";

const root = resolve(import.meta.dirname, "../..");
const config = readWranglerConfig(root);
const ID = "11111111-2222-4333-8444-555555555555";

/** An account of Cloudflare's, as far as wrangler shows it: what was made, and that nothing can be made twice. */
class Account {
  readonly made: string[] = [];
  readonly commands: string[] = [];
  /** The command that fails once, by its number, before or after it was carried out. */
  failAt: { command: number; isDone: boolean } | null = null;

  run = async (args: string[]): Promise<string> => {
    this.commands.push(args.join(" "));
    const fault = this.failAt?.command === this.commands.length ? this.failAt : null;
    if (fault && !fault.isDone) throw new Error("the network is down");
    const output = this.carryOut(args);
    if (fault) throw new Error("the network is down");
    return output;
  };

  private carryOut(args: string[]): string {
    const line = args.join(" ");
    if (!/ create /.test(line)) return args[1] === "info" ? JSON.stringify({ uuid: ID }) : "";
    if (this.made.includes(line)) throw new Error(`A resource with that name already exists: ${line}`);
    this.made.push(line);
    return "";
  }
}

const newFolder = (): string => mkdtempSync(join(tmpdir(), "sluice-tenants-"));
function tenantsOf(account: Account, folder: string, dryRun = false): { tenants: Tenants; said: string[] } {
  const said: string[] = [];
  const say = (line: string): number => said.push(line);
  return { tenants: new Tenants({ root, folder, config, wrangler: account.run, say, dryRun }), said };
}

const tenantName = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
const namesIn = (value: unknown): string[] => {
  const text = JSON.stringify(value);
  return [...text.matchAll(/"(?:name|database_name|bucket_name|queue|dead_letter_queue)":"([^"]+)"/g)].map(
    ([, n]) => n as string,
  );
};

describe("a tenant's configuration", () => {
  test("shares no resource with another tenant's, nor with the deployment's own", () => {
    fc.assert(
      fc.property(tenantName, tenantName, (a, b) => {
        fc.pre(a !== b);
        const place = { root, folder: join(root, ".state/tenants/x") };
        const names = (tenant: string) =>
          new Set(namesIn(tenantConfig(config, tenant, ID, place)).filter((n) => n.startsWith("sluice")));
        const shared = [...names(a)].filter((name) => names(b).has(name) || namesIn(config).includes(name));
        expect(shared).toEqual([]);
        expect(names(a).size).toBe(new Set(namesIn(config).filter((n) => n.startsWith("sluice"))).size);
      }),
    );
  });

  test("is the deployment's own but for names, the database's id and paths, which lead to the same files", () => {
    const folder = "/somewhere/else/acme";
    const made = tenantConfig(config, "acme", ID, { root, folder });
    expect(resolve(folder, made.main)).toBe(join(root, config.main));
    expect(resolve(folder, made.d1_databases?.[0]?.migrations_dir ?? "")).toBe(join(root, "migrations"));
    expect(made.d1_databases?.[0]).toMatchObject({ binding: "DB", database_name: "sluice-acme", database_id: ID });
    const plain = ({ name, main, d1_databases, r2_buckets, queues, workflows, assets, ...rest }: WranglerConfig) =>
      rest;
    expect(plain(made)).toEqual(plain(config));
  });

  test.each(["", "-a", "a-", "A", "a_b", "a.b", "../x", "x".repeat(33)])("no tenant is called %j", (name) => {
    expect(() => checkName(name)).toThrow(/a tenant's name has/);
  });

  test("a resource that tenants would share is refused", () => {
    expect(() => resourcesOf({ ...config, r2_buckets: [{ binding: "X", bucket_name: "shared" }] }, "a")).toThrow(
      /share it/,
    );
  });
});

describe("creating a tenant", () => {
  test("makes each resource once, whichever step fails, and however it fails", async () => {
    const whole = new Account();
    await tenantsOf(whole, newFolder()).tenants.create("acme");
    const { queues, buckets } = resourcesOf(config, "acme");
    expect(whole.made).toHaveLength(1 + queues.length + buckets.length);
    for (let command = 1; command <= whole.commands.length; command++) {
      for (const isDone of [false, true]) {
        const account = new Account();
        account.failAt = { command, isDone };
        const folder = newFolder();
        await expect(tenantsOf(account, folder).tenants.create("acme")).rejects.toThrow("the network is down");
        const secrets = () =>
          readdirSync(folder).flatMap((name) =>
            statSync(join(folder, name, "secrets.env"), { throwIfNoEntry: false })
              ? [readFileSync(join(folder, name, "secrets.env"), "utf8")]
              : [],
          );
        const before = secrets();
        await tenantsOf(account, folder).tenants.create("acme");
        expect([...account.made].sort()).toEqual([...whole.made].sort());
        if (before.length > 0) expect(secrets()).toEqual(before);
        const made = JSON.parse(readFileSync(join(folder, "acme/wrangler.json"), "utf8")) as WranglerConfig;
        expect(made.d1_databases?.[0]?.database_id).toBe(ID);
        expect(account.commands.at(-1)).toMatch(
          /^deploy --config \S+\/acme\/wrangler.json --secrets-file \S+\/acme\/secrets.env$/,
        );
        expect(statSync(join(folder, "acme/secrets.env")).mode & 0o777).toBe(0o600);
      }
    }
  });

  test("as a dry run prints every step and changes nothing", async () => {
    const account = new Account();
    const folder = join(newFolder(), "never");
    const { tenants, said } = tenantsOf(account, folder, true);
    await tenants.create("acme");
    expect(account.commands).toEqual([]);
    expect(statSync(folder, { throwIfNoEntry: false })).toBeUndefined();
    await tenantsOf(account, folder, true).tenants.deploy("acme");
    expect(account.commands).toEqual([]);
    expect(statSync(folder, { throwIfNoEntry: false })).toBeUndefined();
    const { queues, buckets } = resourcesOf(config, "acme");
    expect(said.filter((line) => line.startsWith("  wrangler "))).toEqual([
      "  wrangler d1 create sluice-acme",
      ...queues.map((queue) => `  wrangler queues create ${queue}`),
      ...buckets.map((bucket) => `  wrangler r2 bucket create ${bucket}`),
      `  wrangler d1 migrations apply sluice-acme --remote --config ${folder}/acme/wrangler.json`,
      `  wrangler deploy --config ${folder}/acme/wrangler.json --secrets-file ${folder}/acme/secrets.env`,
    ]);
  });

  test("deploying one that is not known is refused; those that are, are listed", async () => {
    const account = new Account();
    const folder = newFolder();
    const { tenants } = tenantsOf(account, folder);
    await expect(tenants.deploy("acme")).rejects.toThrow("npm run tenant -- create acme");
    expect(tenants.list()).toEqual([]);
    await tenants.create("b");
    await tenants.create("a");
    account.commands.length = 0;
    await tenants.deploy("a");
    expect(account.commands.map((c) => c.split(" ").slice(0, 2).join(" "))).toEqual([
      "d1 migrations",
      "deploy --config",
    ]);
    expect(tenants.list().map((t) => t.worker)).toEqual(["sluice-a", "sluice-b"]);
  });
});

test("wrangler takes a tenant's configuration: a dry run of its deployment builds", { timeout: 120_000 }, async () => {
  const folder = newFolder();
  await tenantsOf(new Account(), folder).tenants.create("acme");
  const wrangler = join(root, "node_modules/.bin/wrangler");
  const args = ["deploy", "--dry-run", "--config", join(folder, "acme/wrangler.json"), "--outdir", join(folder, "out")];
  const env = {
    PATH: `${dirname(wrangler)}:${process.env.PATH}`,
    HOME: folder,
    CI: "true",
    WRANGLER_SEND_METRICS: "false",
  };
  const { stdout } = await promisify(execFile)(wrangler, args, { cwd: root, env });
  const { database, queues, buckets } = resourcesOf(config, "acme");
  for (const name of [database, ...queues, ...buckets]) expect(stdout).toContain(`(${name})`);
  expect(readdirSync(join(folder, "out"))).toContain("index.js");
});
