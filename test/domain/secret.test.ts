import fc from "fast-check";
import { expect, test } from "vitest";
import { openSealed, parseSealingKeys, sealSecret, secretAad } from "../../src/domain/secret.ts";

const key = (fill: number): string => Buffer.alloc(32, fill).toString("base64");
const iv = (fill: number): Uint8Array<ArrayBuffer> => new Uint8Array(12).fill(fill);
const aad = secretAad("job-1", "webhook_secret");

test("what is sealed opens again, whatever it is", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "grapheme" }),
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      async (plain, nonce) => {
        const sealed = await sealSecret(`k1:${key(1)}`, plain, aad, new Uint8Array(nonce));
        expect(sealed).toMatch(/^v1\.k1\.[\w-]+\.[\w-]+$/);
        if (plain.length > 3) expect(sealed).not.toContain(plain);
        expect(await openSealed(`k1:${key(1)}`, sealed, aad)).toBe(plain);
      },
    ),
    { numRuns: 50 },
  );
});

test("the first key seals, every key opens: keys can be rotated", async () => {
  const old = await sealSecret(`a:${key(1)}`, "secret", aad, iv(1));
  const rotated = `b:${key(2)},a:${key(1)}`;
  expect(await openSealed(rotated, old, aad)).toBe("secret");
  expect(await sealSecret(rotated, "secret", aad, iv(2))).toMatch(/^v1\.b\./);
  await expect(openSealed(`b:${key(2)}`, old, aad)).rejects.toThrow(/lacks the key a/);
});

test("a secret opens only where it belongs, and only unaltered", async () => {
  const keys = `a:${key(1)}`;
  const sealed = await sealSecret(keys, "secret", aad, iv(1));
  for (const other of [
    secretAad("job-2", "webhook_secret"),
    secretAad("job-1", "endpoint_signing_secret"),
    secretAad("job-1", "endpoint_headers.webhook_secret"),
  ]) {
    await expect(openSealed(keys, sealed, other)).rejects.toThrow(/does not open/);
  }
  for (let at = 0; at < sealed.length; at++) {
    const altered = sealed.slice(0, at) + (sealed[at] === "A" ? "B" : "A") + sealed.slice(at + 1);
    // The last character of a group may hold bits that mean nothing.
    const opened = await openSealed(keys, altered, aad).catch(() => null);
    expect([null, "secret"]).toContain(opened);
    if (sealed[at + 1] !== "." && sealed[at + 1] !== undefined && at > 5) expect(opened).toBeNull();
  }
  await expect(openSealed(`a:${key(9)}`, sealed, aad)).rejects.toThrow(/does not open/);
});

test("header names are compared without case", () => {
  expect(secretAad("j", "endpoint_headers.X-Api-Key")).toBe(secretAad("j", "endpoint_headers.x-api-key"));
});

test.each([
  "",
  "a",
  "a:",
  `:${key(1)}`,
  "a:AAAA",
  `a:${key(1)},a:${key(2)}`,
  `a:${key(1)},`,
  `a b:${key(1)}`,
  `a:${key(1)}:x`,
])("keys of the wrong form are refused without being shown: %j", (keys) => {
  expect(() => parseSealingKeys(keys)).toThrow(/^ENCRYPTION_KEYS/);
  try {
    parseSealingKeys(keys);
  } catch (error) {
    if (keys.includes(key(1))) expect((error as Error).message).not.toContain(key(1));
  }
});
