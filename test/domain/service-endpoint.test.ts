import { describe, expect, test } from "vitest";
import type { AddressPolicy } from "../../src/domain/address.ts";
import { judgeEndpoint, mayCall, parseServiceEndpoints } from "../../src/domain/service-endpoint.ts";

const PROJECT = "019c2f6e-7d80-7a3b-9c55-0000000002a1";
const OTHER = "019c2f6e-7d80-7a3b-9c55-0000000002a2";
const policy: AddressPolicy = { allowLoopback: false, allowHttp: false, ports: [443] };
const judge = (url: string) => judgeEndpoint(url, policy, (name) => name === "billing");

describe("SERVICE_ENDPOINTS", () => {
  test("says which binding a name leads to, and for whom", () => {
    const text = `{"billing":{"binding":"BILLING","projects":["${PROJECT}"]},"open":{"binding":"OPEN","projects":"*"}}`;
    const mappings = parseServiceEndpoints(text);
    const of = (name: string) => mappings.get(name) ?? { binding: "", projects: [] };
    expect(of("billing").binding).toBe("BILLING");
    expect([mayCall(of("billing"), PROJECT), mayCall(of("billing"), OTHER)]).toEqual([true, false]);
    expect([mayCall(of("open"), PROJECT), mayCall(of("none"), PROJECT)]).toEqual([true, false]);
    expect(parseServiceEndpoints("{}").size).toBe(0);
  });

  test.each([
    "",
    "[]",
    '{"a b":{"binding":"B","projects":"*"}}',
    '{"1a":{"binding":"B","projects":"*"}}',
    '{"a":{"binding":"B"}}',
    '{"a":{"binding":"B-C","projects":"*"}}',
    '{"a":{"binding":"B","projects":[]}}',
    '{"a":{"binding":"B","projects":["acme"]}}',
    '{"a":{"binding":"B","projects":"*","more":1}}',
    '{"a":"B"}',
  ])("%s is refused by name", (text) => {
    expect(() => parseServiceEndpoints(text)).toThrow(/^SERVICE_ENDPOINTS/);
  });
});

describe("an endpoint", () => {
  test.each([
    ["service://billing", "https://billing/"],
    ["service://billing/", "https://billing/"],
    ["service://billing/a/b?c=d", "https://billing/a/b?c=d"],
    ["service://billing?c=d", "https://billing?c=d"],
  ])("%s is a mapped service's %s", (url, called) => {
    expect(judge(url)).toEqual({ kind: "endpoint", url: called, service: "billing" });
  });

  test.each([
    "service://other/",
    "service://BILLING/",
    "SERVICE://billing/",
    "service://billing:80/",
    "service://u@billing/",
    "service://billing@evil.example/",
    "service:billing",
    "service:///billing",
    "service://billing/#f",
    "service://billing/a b",
    "service://billing\\a",
    "service://",
  ])("%s is none", (url) => {
    expect(judge(url).kind).toBe("refused");
  });

  test("by the network obeys the address rules", () => {
    expect(judge("https://example.com/a")).toEqual({ kind: "endpoint", url: "https://example.com/a", service: null });
    expect(judge("https://billing/a").kind).toBe("refused");
    expect(judge("https://10.0.0.1/").kind).toBe("refused");
  });
});
