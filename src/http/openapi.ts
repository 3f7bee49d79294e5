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
  documents.set(app, document);
  return document;
}

const documents = new WeakMap<App, object>();

/** Registers what the document's operations refer to. */
export function registerSecurity(app: App): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", {
    type: "http",
    scheme: "bearer",
    description: "An API key, or the deployment's admin token.",
  });
}
