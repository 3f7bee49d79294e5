import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseTraceparent, parseTracestate, receivedTrace, traceHeaders } from "../../src/domain/traceparent.ts";

const PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const random = () => new Uint8Array(24).fill(7);

describe("tracestate", () => {
  test.each([
    ["rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7"],
    [" rojo=1 ,\tcongo=t61rcWkgMzE , ,", "rojo=1,congo=t61rcWkgMzE"],
    ["fw529a3039@dt=FfAAAD;s=!", null],
    ["fw529a3039@dt=FfAAAD;s", "fw529a3039@dt=FfAAAD;s"],
    ["a= x", "a= x"],
    ["", null],
    [" , ", null],
    ["rojo", null],
    ["Rojo=1", null],
    ["rojo=", null],
    ["rojo=1,rojo=2", null],
    ["rojo=\u00fc", null],
    ["rojo=1\r\nX-Evil: 1", null],
    [Array.from({ length: 33 }, (_, i) => `k${i}=v`).join(), null],
    [`${"k".repeat(257)}=v`, null],
    [`k=${"v".repeat(257)}`, null],
  ])("%j is handed on as %j", (header, state) => {
    expect(parseTracestate(header)).toBe(state);
  });

  test("law: what is handed on is the beginning of what came, is valid, and has at most 512 characters", () => {
    const member = fc.tuple(fc.stringMatching(/^[a-z][a-z0-9_*/-]{0,40}$/), fc.stringMatching(/^[!-+\--<>-~]{1,60}$/));
    fc.assert(
      fc.property(fc.uniqueArray(member, { maxLength: 32, minLength: 1, selector: ([key]) => key }), (members) => {
        const header = members.map(([key, value]) => `${key}=${value}`).join();
        const state = parseTracestate(header) ?? "";
        expect(`${header},`.startsWith(`${state},`)).toBe(true);
        expect(state.length).toBeLessThanOrEqual(512);
        expect(parseTracestate(state)).toBe(state);
        if (header.length <= 512) expect(state).toBe(header);
      }),
    );
  });
});

describe("a trace", () => {
  test("law: goes out as it came in", () => {
    fc.assert(
      fc.property(fc.option(fc.stringMatching(/^[a-z]{1,9}=[!-+\--<>-~]{1,9}$/), { nil: undefined }), (state) => {
        const trace = receivedTrace(PARENT, state, random);
        expect(traceHeaders(trace)).toEqual(
          state === undefined ? { traceparent: PARENT } : { traceparent: PARENT, tracestate: state },
        );
      }),
    );
  });

  test("begins anew where there is none or a broken one, and then without the state that came along", () => {
    for (const broken of [undefined, "", "00-0-0-0", `${PARENT} rojo=1`]) {
      const headers = traceHeaders(receivedTrace(broken, "rojo=1", random)) ?? {};
      expect(Object.keys(headers)).toEqual(["traceparent"]);
      expect(parseTraceparent(headers.traceparent ?? "")).not.toBeNull();
      expect(headers.traceparent).not.toBe(PARENT);
    }
  });

  test("a broken state is dropped alone", () => {
    expect(traceHeaders(receivedTrace(PARENT, "Rojo", random))).toEqual({ traceparent: PARENT });
  });

  test("what is kept of before, a traceparent alone, is one; anything else is none", () => {
    expect(traceHeaders(PARENT)).toEqual({ traceparent: PARENT });
    expect(traceHeaders("rubbish")).toBeNull();
  });
});
