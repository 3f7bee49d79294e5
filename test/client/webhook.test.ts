import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { verifySignature } from "../../src/client/webhook.ts";

const now = Date.UTC(2026, 5, 1);
const standardSecret = fc
  .uint8Array({ minLength: 24, maxLength: 64 })
  .map((b) => `whsec_${Buffer.from(b).toString("base64")}`);

const signed = (secret: string, id: string, body: string, at = now) => ({
  "Webhook-Id": id,
  "webhook-timestamp": String(Math.floor(at / 1000)),
  "webhook-signature": new Webhook(secret).sign(id, new Date(at), body),
});

test("what the standardwebhooks package signs is accepted, and every change of it is not", async () => {
  await fc.assert(
    fc.asyncProperty(standardSecret, fc.uuid(), fc.string({ unit: "binary" }), async (secret, id, body) => {
      const headers = signed(secret, id, body);
      expect(await verifySignature(body, headers, secret, { now })).toEqual({ ok: true, id });
      expect(
        await verifySignature(new TextEncoder().encode(body), new Headers(headers), secret, { now }),
      ).toMatchObject({
        ok: true,
      });
      for (const [b, h, s] of [
        [`${body}x`, headers, secret],
        [body, { ...headers, "Webhook-Id": `${id}x` }, secret],
        [body, headers, `whsec_${btoa("another secret of some length")}`],
        [body, { ...headers, "webhook-signature": "v1,AAAA v2,BBBB" }, secret],
      ] as const) {
        expect(await verifySignature(b, h, s, { now })).toEqual({ ok: false, reason: "wrong_signature" });
      }
    }),
  );
});

test("one of several signatures is enough: secrets change", async () => {
  const secret = `whsec_${btoa("a secret of 24 characters")}`;
  const headers = signed(secret, "m1", "{}");
  const both = { ...headers, "webhook-signature": `v1,AAAA ${headers["webhook-signature"]}` };
  expect(await verifySignature("{}", both, secret, { now })).toMatchObject({ ok: true });
});

test("old, future and unsigned messages are refused", async () => {
  const secret = `whsec_${btoa("a secret of 24 characters")}`;
  const headers = signed(secret, "m1", "{}");
  expect(await verifySignature("{}", headers, secret, { now: now + 300_000 })).toMatchObject({ ok: true });
  expect(await verifySignature("{}", headers, secret, { now: now + 302_000 })).toEqual({
    ok: false,
    reason: "too_old",
  });
  expect(await verifySignature("{}", headers, secret, { now: now - 302_000 })).toEqual({
    ok: false,
    reason: "too_new",
  });
  const { "webhook-signature": _, ...bare } = headers;
  expect(await verifySignature("{}", bare, secret, { now })).toEqual({ ok: false, reason: "missing_headers" });
});
