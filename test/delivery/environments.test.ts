import { env as bindings } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EnvironmentBook, MAX_AGE_MS, type SealedEnvironment } from "../../src/delivery/environments.ts";
import { sealSecret, variableAad } from "../../src/domain/secret.ts";
import { type Env, parseSettings } from "../../src/env.ts";

/** Environments as calls read them (contract 5): at most 5 seconds old, and no more often than that. */

const settings = parseSettings(bindings as unknown as Env);
const PROJECT = "p";

const sealed = (id: string, value: string): Promise<string> =>
  sealSecret(settings.encryptionKeys ?? "", value, variableAad(id, "A"), crypto.getRandomValues(new Uint8Array(12)));

/** An environment that changes, and how often it was read. */
async function changing(id: string, values: string[]) {
  const states = await Promise.all(
    values.map(
      async (value, revision): Promise<SealedEnvironment> => ({
        project_id: PROJECT,
        revision,
        variables: { A: await sealed(id, value) },
      }),
    ),
  );
  const world = { at: 0, reads: 0, read: async () => states[world.at] ?? null };
  const book = new EnvironmentBook(settings, () => {
    world.reads++;
    return world.read();
  });
  return { world, book };
}

test("whatever happens when: what a call uses was true at most 5 seconds before it", async () => {
  const step = fc.record({ wait: fc.integer({ min: 0, max: 3_000 }), change: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const id = crypto.randomUUID();
      const { world, book } = await changing(id, steps.map((_, i) => `v${i}`).concat("last"));
      let now = 1_000_000;
      /** Until when each state was the present one. */
      const until: number[] = [];
      const readTimes: number[] = [];
      for (const { wait, change } of steps) {
        now += wait;
        if (change) {
          until[world.at] = now;
          world.at++;
        }
        const before = world.reads;
        const used = Number((await book.variables(PROJECT, id, now))?.revision);
        expect(now - (until[used] ?? now)).toBeLessThan(MAX_AGE_MS);
        if (world.reads > before) readTimes.push(now);
      }
      for (const [i, at] of readTimes.entries()) {
        if (i > 0) expect(at - (readTimes[i - 1] ?? 0)).toBeGreaterThanOrEqual(MAX_AGE_MS);
      }
    }),
    { numRuns: 50 },
  );
});

describe("an environment", () => {
  test("is read once for all that wait for it, and is the same object until it changes", async () => {
    const id = crypto.randomUUID();
    const { world, book } = await changing(id, ["one", "two"]);
    const first = await Promise.all([1, 2, 3].map(() => book.variables(PROJECT, id, 0)));
    expect(world.reads).toBe(1);
    expect(first[0]?.values).toEqual(new Map([["A", "one"]]));
    expect(await book.variables(PROJECT, id, MAX_AGE_MS)).toBe(first[0]);
    expect(world.reads).toBe(2);
    world.at = 1;
    expect((await book.variables(PROJECT, id, 2 * MAX_AGE_MS))?.values.get("A")).toBe("two");
  });

  test("of another project, or deleted, is none", async () => {
    const id = crypto.randomUUID();
    const { world, book } = await changing(id, ["one"]);
    expect(await book.variables("another", id, 0)).toBeNull();
    expect(await book.variables(PROJECT, id, 1)).not.toBeNull();
    world.at = 1;
    expect(await book.variables(PROJECT, id, MAX_AGE_MS)).toBeNull();
  });

  test("that cannot be read is not replaced by an older one, and not asked for by every run", async () => {
    const id = crypto.randomUUID();
    const { world, book } = await changing(id, ["one"]);
    await book.variables(PROJECT, id, 0);
    const { read } = world;
    world.read = () => Promise.reject(new Error("D1 is down"));
    for (let i = 0; i < 5; i++) await expect(book.variables(PROJECT, id, MAX_AGE_MS + i)).rejects.toThrow("D1 is down");
    expect(world.reads).toBe(2);
    world.read = read;
    expect((await book.variables(PROJECT, id, MAX_AGE_MS + 1_000))?.values.get("A")).toBe("one");
  });

  test("whose variable belongs elsewhere does not open, and shows nothing of it", async () => {
    const id = crypto.randomUUID();
    const stolen = { project_id: PROJECT, revision: 1, variables: { A: await sealed("another", "hush") } };
    const book = new EnvironmentBook(settings, async () => stolen);
    const message = await book.variables(PROJECT, id, 0).then(String, String);
    expect(message).toContain("does not open");
    expect(message).not.toContain("hush");
  });
});
