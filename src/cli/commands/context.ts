import { createClient, type SluiceClient } from "../../client/client.ts";
import { Printer } from "../printer.ts";
import { loadProfile } from "../profile.ts";

/** What every command works with. */
export interface Context {
  client: SluiceClient;
  printer: Printer;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
}

/** How a command ended, for scripts. */
export const EXIT = {
  ok: 0,
  /** Something went wrong: refused, unreachable, a bad file. */
  error: 1,
  /** The command line itself was wrong. */
  usage: 2,
  /** What was watched ended, and not all of it well. */
  unsuccessful: 3,
  interrupted: 130,
} as const;

/** Options that every command has. */
export interface CommonOptions {
  json?: boolean;
}

export type Command<A extends unknown[]> = (context: Context, ...args: A) => Promise<number>;

/** @throws NotLoggedIn. */
export function contextOf(options: CommonOptions, signal: AbortSignal): Context {
  return { client: createClient(loadProfile()), printer: new Printer(options.json ?? false), signal };
}

/** The first rows of what may be many. */
export async function firstRows<T>(rows: AsyncIterable<T>, limit: number): Promise<T[]> {
  const found: T[] = [];
  if (limit === 0) return found;
  for await (const row of rows) {
    found.push(row);
    if (found.length === limit) break;
  }
  return found;
}
