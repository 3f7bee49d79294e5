import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plainSignature, signatureHeaders, signingKeys, standardSignature } from "../../src/domain/signature.ts";
import { newTraceparent, parseTraceparent } from "../../src/domain/traceparent.ts";

describe("signatures", () => {
  test("law: the plain one is HMAC-SHA256 of timestamp.body under the secret as text", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 1, unit: "binary" }),
        fc.nat(),
        fc.string({ unit: "binary" }),
        async (secret, at, body) => {
          const expected = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");
          expect(await plainSignature(await signingKeys(secret), at, body)).toBe(`v1=${expected}`);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("Standard Webhooks: the specification's own example", async () => {
    const keys = await signingKeys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    const signature = await standardSignature(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}');
    expect(signature).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  });

  test("a secret that is not `whsec_` and base64 is text for both", async () => {
    for (const secret of ["plain", "whsec_", "whsec_not base64!"]) {
      const expected = createHmac("sha256", secret).update("id.5.{}").digest("base64");
      expect(await standardSignature(await signingKeys(secret), "id", 5, "{}")).toBe(`v1,${expected}`);
    }
  });

  test("the headers of a call", async () => {
    const keys = await signingKeys("secret");
    const plain = `v1=${createHmac("sha256", "secret").update("1700000000.{}").digest("hex")}`;
    expect(await signatureHeaders(keys, "run-1", 1_700_000_000, "{}")).toEqual({
      "X-Strait-Timestamp": "1700000000",
      "X-Strait-Signature": plain,
      "X-Webhook-Signature": plain,
      "webhook-id": "run-1",
      "webhook-timestamp": "1700000000",
      "webhook-signature": `v1,${createHmac("sha256", "secret").update("run-1.1700000000.{}").digest("base64")}`,
    });
  });
});

describe("traceparent", () => {
  const GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

  test("a good one is taken apart", () => {
    expect(parseTraceparent(GOOD)).toEqual({
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      parent_id: "00f067aa0ba902b7",
      flags: 1,
    });
    expect(parseTraceparent(`cc${GOOD.slice(2)}-what-comes-later`)).not.toBeNull();
  });

  test.each([
    "",
    "garbage",
    GOOD.toUpperCase(),
    `ff${GOOD.slice(2)}`,
    `${GOOD}-more`,
    `${GOOD}0`,
    GOOD.slice(1),
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    `${GOOD}\r\nX-Evil: 1`,
  ])("%o is none", (header) => {
    expect(parseTraceparent(header)).toBeNull();
  });

  test("law: what is made is valid, whatever the dice", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 24 }), (random) => {
        expect(parseTraceparent(newTraceparent(random))).not.toBeNull();
      }),
      { examples: [[new Uint8Array(24)]] },
    );
  });
});
