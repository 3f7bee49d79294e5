import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** Which Sluice the commands speak to, and as whom. */
export interface Profile {
  url: string;
  key: string;
}

/** `SLUICE_CONFIG`, else where the system keeps settings. */
const file = (): string =>
  process.env.SLUICE_CONFIG ??
  join(process.env.XDG_CONFIG_HOME ?? join(homedir(), ".config"), "sluice", "profile.json");

/** Somebody has to log in first. */
export class NotLoggedIn extends Error {
  override readonly name = "NotLoggedIn";
}

/**
 * What `login` kept; `SLUICE_URL` and `SLUICE_KEY` go before it, each by itself.
 *
 * @throws NotLoggedIn where one of the two is nowhere.
 */
export function loadProfile(): Profile {
  const kept = readKept();
  const url = process.env.SLUICE_URL ?? kept?.url;
  const key = process.env.SLUICE_KEY ?? kept?.key;
  if (url && key) return { url, key };
  throw new NotLoggedIn(
    "log in first: sluice login --url <address> --key <API key> (or set SLUICE_URL and SLUICE_KEY)",
  );
}

function readKept(): Partial<Profile> | null {
  try {
    return JSON.parse(readFileSync(file(), "utf8")) as Partial<Profile>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new Error(`${file()} cannot be read: ${String(error)}`);
  }
}

/** Only the user may read it. Returns where it stands. */
export function saveProfile(profile: Profile): string {
  const path = file();
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, `${JSON.stringify(profile, null, 2)}\n`, { mode: 0o600 });
  chmodSync(path, 0o600);
  return path;
}

export function forgetProfile(): void {
  rmSync(file(), { force: true });
}
