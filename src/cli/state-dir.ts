import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What `npm run dev` keeps beside the databases, so that a later start goes on where this one was. */
export interface StateDir {
  path: string;
  /** The admin token of the environment, else the one that was made here. */
  adminToken: string;
  /** `1:base64(32 bytes)`: seals the secrets at rest. */
  encryptionKeys: string;
  apiKeyFile: string;
  logFile: string;
  /** What migrations the local database has; see `migrations.ts`. */
  migrationsFile: string;
}

const SECRET_MODE = 0o600;

/** Creates what is missing. The folder ignores itself in git: it holds keys. */
export function openStateDir(path: string, adminToken: string | undefined): StateDir {
  mkdirSync(join(path, "v3", "d1"), { recursive: true });
  if (!existsSync(join(path, ".gitignore"))) writeFileSync(join(path, ".gitignore"), "*\n");
  return {
    path,
    adminToken: adminToken ?? keep(join(path, "admin-token"), () => randomBytes(32).toString("hex")),
    encryptionKeys: keep(join(path, "encryption-keys"), () => `1:${randomBytes(32).toString("base64")}`),
    apiKeyFile: join(path, "api-key"),
    logFile: join(path, "dev.log"),
    migrationsFile: join(path, "v3", "d1", "applied-migrations"),
  };
}

/** The text of a file, made once. */
function keep(file: string, make: () => string): string {
  const known = readText(file);
  if (known) return known;
  const made = make();
  writeSecret(file, made);
  return made;
}

export function readText(file: string): string | null {
  return existsSync(file) ? readFileSync(file, "utf8").trim() : null;
}

export function writeSecret(file: string, text: string): void {
  writeFileSync(file, `${text}\n`, { mode: SECRET_MODE });
}

/** `{A: "b"}` → `A="b"` lines, as wrangler's `--env-file` reads them. */
export function formatVars(vars: Record<string, string>): string {
  return Object.entries(vars)
    .map(([name, value]) => `${name}=${quoted(value)}`)
    .join("\n");
}

/** Inside double quotes the file's reader leaves a backslash before a quote, inside single quotes it changes nothing. */
const quoted = (value: string): string => (value.includes('"') ? `'${value}'` : JSON.stringify(value));
