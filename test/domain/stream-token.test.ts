import { describe, expect, test } from "vitest";
import { openStreamToken, STREAM_TOKEN_MS, signStreamToken } from "../../src/domain/stream-token.ts";

const KEY = (fill: number): string => btoa(String.fromCharCode(...new Uint8Array(32).fill(fill)));
const OLD = `old:${KEY(1)}`;
const NEW = `new:${KEY(2)}`;
const NOW = 1_700_000_000_000;
const grant = {
  projectId: "019c2f6e-7d80-7a3b-9c55-0000000002a1",
  batchId: "019c2f6e-7d80-7a3b-9c55-0000000002a2",
  expiresAt: NOW + STREAM_TOKEN_MS,
};

describe("a stream token", () => {
  test("opens until its very end, and no longer", async () => {
    const token = await signStreamToken(NEW, grant);
    expect(await openStreamToken(NEW, token, NOW)).toEqual(grant);
    expect(await openStreamToken(NEW, token, grant.expiresAt - 1)).toEqual(grant);
    expect(await openStreamToken(NEW, token, grant.expiresAt)).toBeNull();
  });

  test("outlives a rotation of the keys, but not the loss of its own", async () => {
    const token = await signStreamToken(OLD, grant);
    expect(await openStreamToken(`${NEW},${OLD}`, token, NOW)).toEqual(grant);
    expect(await openStreamToken(NEW, token, NOW)).toBeNull();
  });

  test("opens nothing once a single character of it differs", async () => {
    const token = await signStreamToken(NEW, grant);
    for (let i = 0; i < token.length; i++) {
      const other = token[i] === "1" ? "2" : "1";
      expect(await openStreamToken(NEW, token.slice(0, i) + other + token.slice(i + 1), NOW)).toBeNull();
    }
    for (const cut of ["", token.slice(0, -1), `${token}0`, token.replaceAll(".", "-")]) {
      expect(await openStreamToken(NEW, cut, NOW)).toBeNull();
    }
  });
});
