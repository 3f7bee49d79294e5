import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Expansion,
  expandHeader,
  expandUrl,
  headerTemplateProblem,
  isVariableName,
  urlTemplateProblem,
} from "../../src/domain/env-template.ts";

/** `{{env.NAME}}` (contract 7): whatever a variable's value, a URL keeps its scheme, its host and its shape. */

const textOf = (expansion: Expansion): string => {
  if (expansion.kind === "refused") throw new Error(expansion.message);
  return expansion.text;
};

const wellFormed = fc.string({ unit: "grapheme", maxLength: 20 }).filter((s) => s.isWellFormed());
/** Values that would mean something to a URL parser, and any others. */
const value = fc.oneof(
  fc.constantFrom(
    "",
    "/",
    "..",
    ".",
    "%2e%2e",
    "a/../../b",
    "?x=1",
    "#f",
    "&admin=1",
    "@evil.example",
    "//evil.example",
  ),
  fc.constantFrom("\\", "%", "%00", "a b", "\r\n", "{{env.B}}", "$&", "$1", "😀", "http://evil.example/"),
  wellFormed,
);
const literal = fc.stringMatching(/^[a-z0-9~_-]{0,4}$/);
const name = fc.constantFrom("A", "B", "REGION");
const piece = fc.oneof(
  literal.map((text) => ({ text, variable: null })),
  name.map((variable) => ({ text: `{{env.${variable}}}`, variable })),
);
const pieces = fc.array(piece, { minLength: 1, maxLength: 3 });
const template = fc.record({
  head: fc.constantFrom("https://api.example.com", "http://api.example.com:8080", "service://billing"),
  segments: fc.array(pieces, { minLength: 1, maxLength: 4 }),
  parameters: fc.array(pieces, { maxLength: 3 }),
});
type Piece = { text: string; variable: string | null };
type Template = { head: string; segments: Piece[][]; parameters: Piece[][] };

const written = (parts: Piece[]): string => parts.map((p) => p.text).join("");
const meant = (parts: Piece[], values: Record<string, string>): string =>
  parts.map((p) => (p.variable === null ? p.text : values[p.variable])).join("");
const urlOf = ({ head, segments, parameters }: Template): string =>
  `${head}/${segments.map(written).join("/")}` +
  (parameters.length === 0 ? "" : `?${parameters.map((p, i) => `p${i}=${written(p)}`).join("&")}`);

const values = fc.record({ A: value, B: value, REGION: value });

describe("a URL with variables", () => {
  test("keeps its scheme, host, segments and parameters; each value stands in its place, byte for byte", () => {
    fc.assert(
      fc.property(template, values, (t, v) => {
        const expansion = expandUrl(urlOf(t), (n) => v[n as keyof typeof v]);
        const segments = t.segments.map((parts) => meant(parts, v));
        // Literals have no dots here: a segment of dots is a variable's doing, and would be a step in the path.
        if (segments.some((segment) => /^\.{1,2}$/.test(segment))) {
          expect(expansion.kind).toBe("refused");
          return;
        }
        const url = new URL(textOf(expansion));
        expect(`${url.protocol}//${url.host}`).toBe(t.head);
        expect([url.username, url.password, url.hash]).toEqual(["", "", ""]);
        expect(url.pathname.split("/").slice(1).map(decodeURIComponent)).toEqual(segments);
        const query = t.parameters.map((parts, i) => [`p${i}`, meant(parts, v)]);
        expect([...url.searchParams]).toEqual(query);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    "https://{{env.A}}/",
    "https://{{env.A}}.example.com/",
    "https://example.com{{env.A}}",
    "https://u:{{env.A}}@example.com/",
    "{{env.A}}://example.com/",
    "{{env.A}}",
    "https://example.com:{{env.A}}/",
    "https://example.com/#{{env.A}}",
  ])("%s: never in scheme, host or fragment", (url) => {
    expect(urlTemplateProblem(url)).toMatch(/path and query only/);
    expect(expandUrl(url, () => "x").kind).toBe("refused");
  });

  test.each(["{{A}}", "{{env.}}", "{{env.1A}}", "{{env.A-B}}", "{{ env.A }}", "{{env.A", "env.A}}", "{{payload.id}}"])(
    "%s is no variable",
    (text) => {
      expect(urlTemplateProblem(`https://example.com/${text}`)).toMatch(/not \{\{env\.NAME\}\}/);
    },
  );

  test.each([
    ["https://e.com/{{env.A}}/x", ".."],
    ["https://e.com/.{{env.A}}", "."],
    ["https://e.com/{{env.A}}{{env.A}}", "."],
    ["https://e.com/%2E{{env.A}}/", "."],
  ])("%s is refused where the variable is %j: it would step up the path", (url, A) => {
    expect(expandUrl(url, () => A)).toMatchObject({ kind: "refused", message: expect.stringContaining("{{env.A}}") });
  });

  test("names a variable that is not there", () => {
    const refused = { kind: "refused", message: "uses {{env.B}}, and the job's environment has no such variable" };
    expect(expandUrl("https://e.com/{{env.A}}/{{env.B}}", (n) => (n === "A" ? "1" : undefined))).toEqual(refused);
  });

  test("values are not expanded again", () => {
    expect(expandUrl("https://e.com/{{env.A}}", () => "{{env.A}}")).toEqual({
      kind: "expanded",
      text: "https://e.com/%7B%7Benv.A%7D%7D",
    });
  });
});

describe("a header with variables", () => {
  test("carries the values as they are, or is refused: never a line break", () => {
    fc.assert(
      fc.property(pieces, values, (parts, v) => {
        const expansion = expandHeader(written(parts), (n) => v[n as keyof typeof v]);
        const whole = meant(parts, v);
        if (/^[\t\x20-\x7e\x80-\xff]*$/.test(whole)) expect(expansion).toEqual({ kind: "expanded", text: whole });
        else expect(expansion.kind).toBe("refused");
      }),
    );
  });

  test("grows to 8192 characters at most", () => {
    const twice = "{{env.A}}{{env.A}}";
    expect(expandHeader(twice, () => "x".repeat(4096))).toEqual({ kind: "expanded", text: "x".repeat(8192) });
    expect(expandHeader(`${twice}y`, () => "x".repeat(4096))).toMatchObject({ kind: "refused" });
  });

  test("other braces are its own business, misspelt variables are not", () => {
    for (const fine of ["{{ user }}", "{}", "{{environment}}", "{{env.A}} {{env.A}}"]) {
      expect(headerTemplateProblem(fine)).toBeNull();
    }
    for (const wrong of ["{{ env.A }}", "{{env}}", "{{env.A-1}}"]) expect(headerTemplateProblem(wrong)).not.toBeNull();
  });
});

test("a variable's name is a word that does not begin with a digit", () => {
  for (const good of ["A", "_", "a1", "ENDPOINT_URL", "x".repeat(128)]) expect(isVariableName(good)).toBe(true);
  for (const bad of ["", "1", "A-B", "A.B", "Ä", "A B", "x".repeat(129)]) expect(isVariableName(bad)).toBe(false);
});
