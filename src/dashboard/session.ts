import { computed, signal } from "@preact/signals";
import { type Answer, createClient, type SluiceClient, SluiceError } from "../client/client.ts";

/**
 * Who is signed in. The key stands in the tab's session storage and in the `Authorization` header, and nowhere else: never in
 * a URL, a cookie or a log.
 */

export type Identity = Answer<"GET /v1/whoami">;

interface Session {
  key: string;
  client: SluiceClient;
  /** Gives up sooner: for what is asked again anyway. */
  poller: SluiceClient;
  /** Null until it was asked for. */
  identity: Identity | null;
}

const STORED_AS = "sluice.key";
/** An upload outlives a short loss of the connection by itself. */
const UPLOAD_RETRIES = 7;

/** Why the sign-in stands there, where nobody has signed out: the page behind it is kept. */
export const notice = signal<string | null>(null);
/** False while the last request found no server. */
export const isReachable = signal(true);

export const session = signal<Session | null>(restored());
export const scopes = computed(() => session.value?.identity?.scopes ?? []);
export const mayUse = (scope: Identity["scopes"][number]): boolean =>
  session.value?.identity == null || scopes.value.includes("*") || scopes.value.includes(scope);

function restored(): Session | null {
  const key = sessionStorage.getItem(STORED_AS);
  return key === null ? null : sessionOf(key);
}

function sessionOf(key: string): Session {
  const options = { url: location.origin, key, fetch: (request: Request) => watched(key, request) };
  return {
    ...{ key, identity: null },
    client: createClient({ ...options, retries: UPLOAD_RETRIES }),
    poller: createClient({ ...options, retries: 1, timeoutMs: 15_000 }),
  };
}

/** A key that has run out ends the session, whichever page asked. */
async function watched(key: string, request: Request): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(request);
  } catch (error) {
    if (!request.signal.aborted) isReachable.value = false;
    throw error;
  }
  isReachable.value = true;
  if (response.status === 401 && session.value?.key === key) {
    signOut("The API key is no longer valid: it has expired or was revoked. Sign in with another one.");
  }
  return response;
}

/**
 * Checks a key and signs in with it.
 *
 * @returns what is wrong with the key; null where it is right.
 */
export async function signIn(key: string): Promise<string | null> {
  const given = key.trim();
  if (given === "") return "Enter an API key.";
  // A header can carry no other characters.
  if (!/^[\x21-\x7e]+$/.test(given)) return "An API key has neither spaces nor special characters.";
  const next = sessionOf(given);
  try {
    const identity = await next.poller.call("GET /v1/whoami", {});
    if (identity.project === null) return "This is the admin token. Sign in with an API key of a project.";
    sessionStorage.setItem(STORED_AS, given);
    notice.value = null;
    session.value = { ...next, identity };
    return null;
  } catch (error) {
    if (error instanceof SluiceError && error.status === 401) return "This API key is wrong, expired or revoked.";
    return problemOf(error);
  }
}

/** After a reload: the key is known, its owner is not. */
export async function askWho(): Promise<void> {
  const current = session.value;
  if (current === null || current.identity !== null) return;
  try {
    const identity = await current.poller.call("GET /v1/whoami", {});
    if (session.value === current) session.value = { ...current, identity };
  } catch {
    // The page's own requests meet the same trouble, and show it.
  }
}

/** @param why null where the user asked for it. */
export function signOut(why: string | null): void {
  sessionStorage.removeItem(STORED_AS);
  notice.value = why;
  session.value = null;
}

/** An error in words for people. */
export function problemOf(error: unknown): string {
  if (!(error instanceof SluiceError)) {
    if (error instanceof Error && error.name === "SluiceUnreachable") return "Sluice cannot be reached.";
    return error instanceof Error ? error.message : String(error);
  }
  const details = error.details.map(({ path, message }) => `${path} ${message}`).join("; ");
  return details === "" ? error.message : `${error.message}: ${details}`;
}
