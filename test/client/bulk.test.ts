import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createClient, SluiceError } from "../../src/client/client.ts";
import { answer, hangUp, refusal, type ScriptedServer, type Seen, scripted, type Turn } from "./scripted-server.ts";

/** A batch operation as contract 4.2 has it, in memory: parts at their index, what was taken compared and skipped. */
class Batches {
  readonly lines: string[] = [];
  isSealed = false;
  private key: string | null = null;
  private opened: { created: number } | null = null;

  serve(response: Parameters<Turn>[0], seen: Seen): void {
    const url = new URL(seen.url, "http://x");
    const lines = linesOf(seen);
    if (url.pathname === "/v1/jobs/j/trigger-bulk") this.open(lines, url, seen)(response, seen);
    else if (url.pathname.endsWith("/items"))
      this.add(lines, Number(url.searchParams.get("from_index")))(response, seen);
    else if (url.pathname.endsWith("/seal")) this.seal(JSON.parse(seen.body).expected_count)(response, seen);
    else refusal(404, "not_found")(response, seen);
  }

  private open(lines: string[], url: URL, seen: Seen): Turn {
    const key = seen.headers["idempotency-key"] as string;
    if (this.key !== null && this.key !== key) return refusal(500, "a second batch");
    this.key = key;
    if (this.opened === null) {
      this.opened = { created: lines.length };
      this.lines.push(...lines);
      this.isSealed = url.searchParams.get("open") !== "true";
    }
    const { created } = this.opened;
    return answer(201, { batch_id: "b", total: created, created, duplicates: 0, rejected: 0 });
  }

  private add(lines: string[], from: number): Turn {
    const item_count = this.lines.length;
    if (this.isSealed || from > item_count) return refusal(409, "conflict", {}, { item_count });
    const isOther = lines.some((line, i) => from + i < item_count && this.lines[from + i] !== line);
    if (isOther) return refusal(409, "conflict", {}, { index: from });
    this.lines.push(...lines.slice(item_count - from));
    return answer(201, { item_count: this.lines.length });
  }

  private seal(expected: number): Turn {
    const item_count = this.lines.length;
    if (expected !== item_count) return refusal(409, "conflict", {}, { item_count });
    this.isSealed = true;
    const created_count = item_count;
    return answer(200, { id: "b", item_count, created_count, duplicate_count: 0, rejected_count: 0 });
  }
}

const linesOf = (seen: Seen): string[] =>
  seen.headers["content-type"] === "application/json"
    ? ((JSON.parse(seen.body) as { items?: unknown[] }).items ?? []).map((item) => JSON.stringify(item))
    : seen.body.split("\n").filter(Boolean);

type Fault = "none" | "before" | "after" | "busy";

const faulty =
  (batches: Batches, fault: Fault): Turn =>
  (response, seen) => {
    if (fault === "before") return hangUp(response, seen);
    if (fault === "busy") return refusal(503, "unavailable", { "Retry-After": "0" })(response, seen);
    if (fault === "none") return batches.serve(response, seen);
    // It is taken, and the answer is lost.
    const deaf = { writeHead: () => deaf, end: () => deaf } as unknown as Parameters<Turn>[0];
    batches.serve(deaf, seen);
    hangUp(response, seen);
  };

const clientOf = (server: ScriptedServer) => createClient({ url: server.url, key: "k", retryDelayMs: 1 });

async function* slowly<T>(items: T[]): AsyncGenerator<T> {
  for (const item of items) yield item;
}

describe("a bulk", () => {
  test("arrives whole, in order and once, whatever breaks on the way", async () => {
    const faults = fc.array(fc.constantFrom<Fault>("none", "before", "after", "busy"), { maxLength: 6 });
    const count = fc.constantFrom(1, 2, 9_999, 10_000, 10_001, 20_000, 25_000);
    await fc.assert(
      fc.asyncProperty(count, faults, fc.boolean(), async (n, script, isSecret) => {
        const batches = new Batches();
        const turns = [...script.slice(0, 4), "none" as const, ...script.slice(4), "none" as const];
        const [first, ...rest] = turns.map((fault) => faulty(batches, fault));
        const server = await scripted(first as Turn, ...rest);
        const items = Array.from({ length: n }, (_, i) => ({ payload: { i } }));
        const webhook = isSecret ? { webhook_url: "https://x.example", webhook_secret: "s".repeat(20) } : {};
        const result = await clientOf(server).bulk("j", slowly(items), { ...webhook, metadata: { a: "b" } });
        await server.close();
        expect(result).toEqual({ batch_id: "b", total: n, created: n, duplicates: 0, rejected: 0 });
        expect(batches.isSealed).toBe(true);
        expect(batches.lines).toEqual(items.map((item) => JSON.stringify(item)));
        expect(server.seen.map((s) => s.url).join()).not.toContain("ssssss");
      }),
      { numRuns: 25 },
    );
  });

  test("sent again with its key goes on where it stopped, and finds itself done when it was", async () => {
    const batches = new Batches();
    const server = await scripted((response, seen) => batches.serve(response, seen));
    const items = Array.from({ length: 25_000 }, (_, i) => ({ payload: i }));
    async function* broken() {
      yield* items.slice(0, 20_500);
      throw new Error("the disk went away");
    }
    const options = { idempotencyKey: "upload-1" };
    await expect(clientOf(server).bulk("j", broken(), options)).rejects.toThrow("the disk went away");
    expect(batches.lines).toHaveLength(20_000);
    expect(await clientOf(server).bulk("j", items, options)).toMatchObject({ total: 25_000 });
    expect(await clientOf(server).bulk("j", items, options)).toMatchObject({ total: 25_000 });
    expect(batches.lines).toHaveLength(25_000);
    await server.close();
  });

  test("of other items under the same key is refused", async () => {
    const batches = new Batches();
    const server = await scripted((response, seen) => batches.serve(response, seen));
    const items = Array.from({ length: 15_000 }, (_, i) => ({ payload: i }));
    async function* broken() {
      yield* items.slice(0, 12_000);
      yield* items.slice(0, 12_000);
      throw new Error("stop");
    }
    await expect(clientOf(server).bulk("j", broken(), { idempotencyKey: "k" })).rejects.toThrow("stop");
    await expect(clientOf(server).bulk("j", items, { idempotencyKey: "k" })).rejects.toBeInstanceOf(SluiceError);
    await server.close();
  });

  test("of nothing is an error, and nothing is sent", async () => {
    const server = await scripted(answer(201, {}));
    await expect(clientOf(server).bulk("j", ["", "  "])).rejects.toThrow("at least one item");
    expect(server.seen).toEqual([]);
    await server.close();
  });

  test("keeps its parts small: items of 1 MiB go a few at a time", async () => {
    const batches = new Batches();
    const server = await scripted((response, seen) => batches.serve(response, seen));
    const items = Array.from({ length: 12 }, () => ({ payload: "x".repeat(1024 * 1024 - 64) }));
    await clientOf(server).bulk("j", items);
    expect(Math.max(...server.seen.map((s) => s.body.length))).toBeLessThanOrEqual(4 * 1024 * 1024 + 1);
    expect(batches.lines).toHaveLength(12);
    await server.close();
  });
});
