import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mapPayload, mappingProblems, rootsOf } from "../../src/domain/payload-mapping.ts";
import {
  MAX_PLACEHOLDERS,
  parsePath,
  RenderedTooLarge,
  rawAt,
  readTemplate,
  renderTemplate,
} from "../../src/domain/template.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const MAX = 1024 * 1024;

const PAYLOAD =
  '{"name":"Ada \\"L\\"","n": 12345678901234567890 ,"nil":null,"list":[1,{"x":[true]}],"deep":{"a.b":1,"é":2}}';
const lookup = ([root, ...path]: readonly string[]) => (root === "payload" ? rawAt(bytes(PAYLOAD), path) : null);
const render = (payload: unknown): string => renderTemplate(payload, lookup, MAX);

describe("a payload with templates", () => {
  test.each([
    ["{{payload.n}}", "12345678901234567890"],
    ["{{ payload.list[1].x }}", "[true]"],
    ["{{payload.list.0}}", "1"],
    ["{{payload.deep.é}}", "2"],
    ["{{payload.nil}}", "null"],
    ["{{payload.absent.far}}", "null"],
    ["{{payload.list[7]}}", "null"],
    ["Hello {{payload.name}}!", '"Hello Ada \\"L\\"!"'],
    ["{{payload.n}}{{payload.n}}", '"1234567890123456789012345678901234567890"'],
    ["<{{payload.nil}}|{{payload.absent}}|{{payload.list}}>", '"<||[1,{\\"x\\":[true]}]>"'],
    ["\\{{payload.n}}", '"{{payload.n}}"'],
    ["a } b { c", '"a } b { c"'],
    [{ "{{payload.n}}": ["{{payload.list[0]}}", 1.5, null, true, "x"] }, '{"{{payload.n}}":[1,1.5,null,true,"x"]}'],
    [JSON.parse('{"__proto__":{"a":"{{payload.n}}"}}'), '{"__proto__":{"a":12345678901234567890}}'],
  ])("%j", (payload, text) => expect(render(payload)).toBe(text));

  test("without templates is itself; a template of its own is the very value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes("{{") && !text.includes("\\"));
        expect(render(value)).toBe(text);
        const whole = renderTemplate("{{payload}}", () => rawAt(bytes(` ${text}\n`), []), MAX);
        expect(whole).toBe(text);
      }),
    );
  });

  test("finds by a path what stepping through the value finds", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.infiniteStream(fc.nat()), (value, dice) => {
        const path: string[] = [];
        let inside: unknown = value;
        for (const die of dice) {
          if (typeof inside !== "object" || inside === null) break;
          const names = Object.keys(inside);
          const name = names[die % (names.length + 1)];
          if (name === undefined) break;
          path.push(name);
          inside = (inside as Record<string, unknown>)[name];
        }
        const raw = rawAt(bytes(JSON.stringify(value)), path);
        expect(JSON.parse(new TextDecoder().decode(raw ?? bytes('"nothing"')))).toEqual(
          JSON.parse(JSON.stringify(inside)),
        );
      }),
    );
  });

  test("grows no further than it may", () => {
    const large = bytes(JSON.stringify("x".repeat(600)));
    expect(() => renderTemplate(["{{payload}}", "{{payload}}"], () => large, 1_000)).toThrow(RenderedTooLarge);
    expect(() => renderTemplate("{{payload}} and {{payload}}", () => large, 1_000)).toThrow(RenderedTooLarge);
    expect(renderTemplate("{{payload}}", () => large, 1_000)).toHaveLength(602);
  });

  test.each([
    ["{{payload.n", "", "has {{ without }}"],
    ["{{}}", "", '"" is no path'],
    ["{{payload..n}}", "", '"payload..n" is no path'],
    ["{{payload.a b.c[x]}}", "", "is no path"],
    [{ a: [1, "{{ }}"] }, ".a[1]", "is no path"],
  ])("is refused where it makes no sense: %j", (payload, at, message) => {
    const { problems } = readTemplate(payload);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.at).toBe(at);
    expect(problems[0]?.message).toContain(message);
  });

  test("is bounded in depth and in templates", () => {
    let deep: unknown = "{{payload}}";
    for (let i = 0; i < 10_000; i++) deep = [deep];
    expect(readTemplate(deep).problems).toHaveLength(1);
    expect(readTemplate(Array(MAX_PLACEHOLDERS).fill("{{payload}}")).problems).toEqual([]);
    expect(readTemplate(Array(MAX_PLACEHOLDERS + 1).fill("{{payload}}")).problems).toHaveLength(1);
  });
});

describe("a payload mapping", () => {
  const facts = {
    result: bytes('{"user":{"id":7,"name":"Ada"},"list":[10,20],"run":"mine"}'),
    payload: bytes('{"order":12345678901234567890}'),
    metadata: bytes('{"tenant":"acme"}'),
    run: bytes('{"id":"r1","attempt":2}'),
  };

  test.each([
    [{ user_id: "result.user.id" }, '{"user_id":7}'],
    [{ user_id: "user.id" }, '{"user_id":7}'],
    [{ a: "payload.order", b: "metadata.tenant", c: "run.id" }, '{"a":12345678901234567890,"b":"acme","c":"r1"}'],
    [{ a: "run" }, '{"a":{"id":"r1","attempt":2}}'],
    [{ a: "result.run" }, '{"a":"mine"}'],
    [{ a: "list[1]", b: "list.0" }, '{"a":20,"b":10}'],
    [{ a: "result.none.such", b: "payload.x", c: "nothing" }, '{"a":null,"b":null,"c":null}'],
    [{}, "{}"],
    [null, '{"user":{"id":7,"name":"Ada"},"list":[10,20],"run":"mine"}'],
  ])("%j", (mapping, text) => expect(mapPayload(mapping as Record<string, string> | null, facts, MAX)).toBe(text));

  test("of a run without a result: null", () => {
    expect(mapPayload(null, { ...facts, result: null }, MAX)).toBe("null");
    expect(mapPayload({ a: "x.y" }, { ...facts, result: null }, MAX)).toBe('{"a":null}');
  });

  test("grows no further than it may", () => {
    expect(() => mapPayload({ a: "user", b: "user" }, facts, 40)).toThrow(RenderedTooLarge);
    expect(() => mapPayload(null, facts, 40)).toThrow(RenderedTooLarge);
  });

  test("says which roots it reads", () => {
    expect([...rootsOf({ a: "x", b: "run.id", c: "payload.y" })].sort()).toEqual(["payload", "result", "run"]);
    expect([...rootsOf(null)]).toEqual(["result"]);
  });

  test.each([["a..b"], [""], ["a.b]"], ["{{a}}"]])("refuses the path %j", (path) =>
    expect(mappingProblems({ ok: "a.b", bad: path }).map((p) => p.path)).toEqual(["on_complete_payload_mapping.bad"]),
  );

  test("takes a path apart", () => expect(parsePath(" a.b[0].c ")).toEqual(["a", "b", "0", "c"]));
});
