import { ItemJudge, needsVersion, type RefusedItem, type TriggerItem, type VersionNeeded } from "../domain/item.ts";
import { type ItemRules, keyDefault, keyPath, type VersionRules } from "../domain/item-rules.ts";
import type { Job, JobVersion } from "../domain/job.ts";
import { compileSchema, type PayloadCheck } from "../domain/payload-schema.ts";
import type { Env } from "../env.ts";
import { versionByRef } from "./jobs.ts";
import { payloadHash } from "./payload-hash.ts";

/** Compiled schemas of this isolate. A version never changes, so neither does what its id leads to. */
const compiled = new Map<string, PayloadCheck | null>();
const MAX_COMPILED = 100;

function payloadCheckOf(version: JobVersion): PayloadCheck | null {
  const known = compiled.get(version.version_id);
  if (known !== undefined) return known;
  const schema = version.spec.payload_schema;
  const check = schema === null || schema === undefined ? null : compileSchema(schema);
  compiled.set(version.version_id, check);
  if (compiled.size > MAX_COMPILED) {
    const [oldest] = compiled.keys();
    if (oldest !== undefined) compiled.delete(oldest);
  }
  return check;
}

const versionRules = (version: JobVersion): Omit<VersionRules, "version"> => ({
  check: payloadCheckOf(version),
  metadataNames: Object.keys(version.spec.default_run_metadata),
});

/** A request may name so many versions that are not there before it is believed that none of the others is. */
const MAX_MISSES = 20;

/**
 * Judges the items of a request by its job: by the job's own limits as they are now, and by the payload schema of the version
 * that an item names, else of the current one. `adopt` brings it to a newer state of the job.
 */
export class JobJudge {
  job: Job;
  private readonly env: Env;
  private readonly others: readonly string[];
  private readonly rules = new Map<string, VersionRules | null>();
  private readonly versions = new Map<number, JobVersion>();
  private misses = 0;
  private judge: ItemJudge;

  /** @param others fields beside an item's own, see `ItemJudge`. */
  constructor(env: Env, job: Job, others: readonly string[] = []) {
    this.env = env;
    this.job = job;
    this.others = others;
    this.judge = this.judgeOf(job);
  }

  adopt(job: Job): void {
    if (job.revision === this.job.revision) return;
    this.job = job;
    this.judge = this.judgeOf(job);
  }

  /** As `ItemJudge.judge`. Where it needs a version, `learn` of it and ask again. */
  verdict(
    bytes: Uint8Array,
    from: number,
    to: number,
    index: number | null,
    now: number,
  ): TriggerItem | RefusedItem | VersionNeeded {
    return this.judge.judge(bytes, from, to, index, now);
  }

  async judged(
    bytes: Uint8Array,
    from: number,
    to: number,
    index: number | null,
    now: number,
  ): Promise<TriggerItem | RefusedItem> {
    for (;;) {
      const verdict = this.judge.judge(bytes, from, to, index, now);
      if (!needsVersion(verdict)) return verdict;
      await this.learn(verdict.needs);
    }
  }

  /** Looks a version up that an item names, once for each name. */
  async learn(ref: string): Promise<void> {
    const version = this.misses < MAX_MISSES ? await versionByRef(this.env, this.job, ref) : null;
    if (version === null) this.misses++;
    else this.versions.set(version.version, version);
    this.rules.set(ref, version && { version: version.version, ...versionRules(version) });
  }

  /** The versions which some items name and the coordinator has not got as the current one. */
  versionsOf(items: readonly (TriggerItem | RefusedItem)[]): JobVersion[] | undefined {
    if (this.versions.size === 0) return undefined;
    const named = new Set(items.map((item) => ("version" in item ? item.version : undefined)));
    return [...this.versions.values()].filter((v) => named.has(v.version) && v.version !== this.job.current.version);
  }

  private judgeOf(job: Job): ItemJudge {
    const { spec } = job.current;
    const path = spec.concurrency_key_from === null ? null : keyPath(spec.concurrency_key_from);
    const rules: ItemRules = {
      limits: new Set(spec.rate_limit_keys.map((limit) => limit.name)),
      keyRequired: spec.max_concurrency_per_key !== null,
      keyPath: path,
      keyDefault: path === null ? null : keyDefault(path, spec),
      dedup: (spec.dedup_window_secs ?? 0) > 0,
      ...versionRules(job.current),
      versions: this.rules,
      hashPayload: payloadHash,
    };
    return new ItemJudge(rules, this.others);
  }
}
