import type { App } from "./context.ts";

/** The OpenAPI 3.1 document, from the same schemas that validate. Built once for an isolate. */
export function openApiDocument(app: App): object {
  const known = documents.get(app);
  if (known) return known;
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Sluice",
      version: "1",
      description:
        "Call an HTTP endpoint once for every item of a list: bounded, retried, without duplicates, watched.\n\n" +
        "Send `Authorization: Bearer sluice_…`. Each operation's `x-required-scope` names the scope that the key needs " +
        "(`admin`: only the admin token). Every error has the shape `Error`, and every answer an `X-Request-Id`. " +
        "A POST that creates honours `Idempotency-Key` for 24 hours.",
    },
    servers: [{ url: "/" }],
  });
  const mended = withNullableReferences(document) as object;
  documents.set(app, mended);
  return mended;
}

const documents = new WeakMap<App, object>();

/**
 * The generator writes a nullable reference as `allOf: [{$ref}, {type: [T, "null"]}]`, which null does not fit: the
 * referenced schema refuses it. Here it becomes `anyOf: [{$ref}, {type: "null"}]`.
 */
function withNullableReferences(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withNullableReferences);
  if (typeof node !== "object" || node === null) return node;
  const { allOf, ...rest } = Object.fromEntries(
    Object.entries(node).map(([name, value]) => [name, withNullableReferences(value)]),
  );
  if (!Array.isArray(allOf)) return allOf === undefined ? rest : { allOf, ...rest };
  const [reference, { type, ...notes } = { type: undefined }, ...more] = allOf as {
    $ref?: string;
    type?: string | string[];
  }[];
  const nullable = reference?.$ref !== undefined && Array.isArray(type) && type.includes("null") && more.length === 0;
  return nullable ? { anyOf: [reference, { type: "null" }], ...notes, ...rest } : { allOf, ...rest };
}

/** Registers what the document's operations refer to. */
export function registerSecurity(app: App): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", {
    type: "http",
    scheme: "bearer",
    description: "An API key, or the deployment's admin token.",
  });
}
