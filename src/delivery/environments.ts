import type { Sealed } from "../domain/job.ts";
import { openSealed, variableAad } from "../domain/secret.ts";
import type { Settings } from "../env.ts";

/** An environment as it is stored. */
export interface SealedEnvironment {
  project_id: string;
  /** Counts its changes. */
  revision: number;
  variables: Record<string, Sealed>;
}

/** Reads an environment; null where there is none. Given from outside: the database is not delivery's. */
export type ReadEnvironment = (id: string) => Promise<SealedEnvironment | null>;

/** An environment's variables in the clear. The same object as long as nothing changes. */
export interface Variables {
  project_id: string;
  revision: number;
  values: ReadonlyMap<string, string>;
}

/** A call uses variables that were asked for at most so long ago (contract 5). */
export const MAX_AGE_MS = 5_000;
/** A reading that failed is not tried again by every run that waits behind it. */
const PATIENCE_MS = 1_000;
const MAX_REMEMBERED = 1_000;

/** What this isolate has read. Values alone: a promise must not cross invocations. */
const remembered = new Map<string, { at: number; variables: Variables | null }>();

/** The environments that one invocation's calls need. */
export class EnvironmentBook {
  private readonly settings: Settings;
  private readonly read: ReadEnvironment;
  private readonly readings = new Map<string, { at: number; reading: Promise<Variables | null> }>();

  constructor(settings: Settings, read: ReadEnvironment) {
    this.settings = settings;
    this.read = read;
  }

  /**
   * An environment's variables, at most 5 seconds old; null where the project has no such environment.
   *
   * @throws what the reading throws, or where a variable does not open: the call cannot be made now.
   */
  async variables(projectId: string, id: string, now: number): Promise<Variables | null> {
    const known = remembered.get(id);
    const variables = known && now < known.at + MAX_AGE_MS ? known.variables : await this.reading(id, now);
    return variables?.project_id === projectId ? variables : null;
  }

  /** One at a time for each environment. */
  private reading(id: string, now: number): Promise<Variables | null> {
    const running = this.readings.get(id);
    if (running && now < running.at + PATIENCE_MS) return running.reading;
    const reading = this.readAnew(id, now);
    this.readings.set(id, { at: now, reading });
    return reading;
  }

  private async readAnew(id: string, now: number): Promise<Variables | null> {
    const stored = await this.read(id);
    const before = remembered.get(id)?.variables;
    const isSame = stored !== null && before?.revision === stored.revision;
    const variables = isSame ? before : stored && (await this.open(id, stored));
    remembered.delete(id);
    remembered.set(id, { at: now, variables });
    const [oldest] = remembered.keys();
    if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
    return variables;
  }

  private async open(id: string, stored: SealedEnvironment): Promise<Variables> {
    const keys = this.settings.encryptionKeys;
    if (keys === null) throw new Error("ENCRYPTION_KEYS is not set");
    const open = async ([name, sealed]: [string, Sealed]): Promise<[string, string]> => [
      name,
      await openSealed(keys, sealed, variableAad(id, name)),
    ];
    const values = new Map(await Promise.all(Object.entries(stored.variables).map(open)));
    return { project_id: stored.project_id, revision: stored.revision, values };
  }
}
