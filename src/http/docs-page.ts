/** The OpenAPI document as one readable page: no script, nothing loaded from elsewhere. */

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  [keyword: string]: unknown;
}

interface Content {
  [mediaType: string]: { schema?: Schema };
}

interface Operation {
  tags?: string[];
  summary?: string;
  description?: string;
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Schema }[];
  requestBody?: { required?: boolean; content?: Content };
  responses?: Record<string, { description?: string; content?: Content }>;
  "x-required-scope"?: string;
}

interface Document {
  info: { title: string; version: string; description?: string };
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

/** Allows the one style sheet that carries the nonce, and nothing else. */
export const docsPolicy = (nonce: string): string =>
  `default-src 'none'; style-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const esc = (text: string): string => text.replace(/[&<>"']/g, (c) => ESCAPES[c] ?? c);

/** Plain text with `code` in it. */
const prose = (text: string): string => esc(text).replace(/`([^`]+)`/g, "<code>$1</code>");

export function docsPage(openApi: object, nonce: string): string {
  const document = openApi as Document;
  const { info } = document;
  const groups = groupByTag(document);
  const schemas = Object.entries(document.components?.schemas ?? {});
  const contents = groups.map(
    ([tag, operations]) =>
      `<li><b>${esc(tag)}</b><ul>${operations.map((o) => `<li><a href="#${anchor(o)}">${title(o)}</a></li>`).join("")}</ul></li>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${esc(info.title)} API</title><style nonce="${nonce}">${STYLE}</style></head><body>
<nav><ul>${contents.join("")}<li><a href="#schemas"><b>Schemas</b></a></li></ul></nav>
<main><h1>${esc(info.title)} API</h1>${(info.description ?? "")
    .split("\n\n")
    .map((p) => `<p>${prose(p)}</p>`)
    .join("")}<p>As data: <a href="/openapi.json">openapi.json</a></p>
${groups.map(([tag, operations]) => `<h2>${esc(tag)}</h2>${operations.map(operationSection).join("\n")}`).join("\n")}
<h2 id="schemas">Schemas</h2>
${schemas.map(([name, schema]) => `<section id="schema-${esc(name)}"><h3>${esc(name)}</h3>${schemaBody(schema)}</section>`).join("\n")}
</main></body></html>`;
}

interface Named {
  method: string;
  path: string;
  operation: Operation;
}

function groupByTag(document: Document): [string, Named[]][] {
  const groups = new Map<string, Named[]>();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "Other";
      groups.set(tag, [...(groups.get(tag) ?? []), { method, path, operation }]);
    }
  }
  return [...groups];
}

const anchor = ({ method, path }: Named): string => esc(`${method}${path}`.replace(/[^a-z0-9]+/gi, "-"));
const title = ({ method, path }: Named): string =>
  `<span class="${esc(method)}">${esc(method.toUpperCase())}</span> ${esc(path)}`;

function operationSection(named: Named): string {
  const { operation } = named;
  const scope = operation["x-required-scope"];
  const parameters = (operation.parameters ?? []).map((p) =>
    row(p.name, `${esc(p.in)}${p.required ? ", required" : ""}`, p.schema ?? {}, p.description),
  );
  const bodies = Object.entries(operation.requestBody?.content ?? {}).map(
    ([type, { schema }]) => `<h4>Body <code>${esc(type)}</code></h4>${schema ? schemaBody(schema) : ""}`,
  );
  const answers = Object.entries(operation.responses ?? {}).map(([status, { description, content }]) => {
    const shapes = Object.entries(content ?? {}).map(
      ([type, c]) => `${c.schema ? typeOf(c.schema) : ""} <i>${esc(type)}</i>`,
    );
    return `<tr><td><code>${esc(status)}</code></td><td>${prose(description ?? "")}</td><td>${shapes.join("<br>")}</td></tr>`;
  });
  return `<section id="${anchor(named)}"><h3>${title(named)}</h3>
<p>${prose(operation.summary ?? "")}${scope ? ` <span class="scope">${esc(scope)}</span>` : ""}</p>
${operation.description ? `<p>${prose(operation.description)}</p>` : ""}
${parameters.length > 0 ? `<table>${parameters.join("")}</table>` : ""}${bodies.join("")}
<h4>Answers</h4><table>${answers.join("")}</table></section>`;
}

const row = (name: string, note: string, schema: Schema, description?: string): string =>
  `<tr><td><code>${esc(name)}</code><br><small>${note}</small></td><td>${typeOf(schema)}<br><small>${esc(rules(schema))}</small></td><td>${prose(description ?? schema.description ?? "")}</td></tr>`;

/** The properties of an object as a table; anything else in a line. */
function schemaBody(schema: Schema): string {
  const parts = schema.allOf ? schema.allOf : [schema];
  const tables = parts.map((part) => {
    if (!part.properties) return `<p>${typeOf(part)} ${prose(part.description ?? "")}</p>`;
    const required = new Set(part.required ?? []);
    const rows = Object.entries(part.properties).map(([name, property]) =>
      row(name, required.has(name) ? "required" : "", property),
    );
    return `<table>${rows.join("")}</table>`;
  });
  return `${schema.allOf && schema.description ? `<p>${prose(schema.description)}</p>` : ""}${tables.join("")}`;
}

/** A schema in a few words, with links to named ones. */
function typeOf(schema: Schema): string {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1) ?? "";
    return `<a href="#schema-${esc(name)}">${esc(name)}</a>`;
  }
  const variants = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (variants) return variants.map(typeOf).join(schema.allOf ? " and " : " or ");
  if (schema.enum) return schema.enum.map((v) => `<code>${esc(JSON.stringify(v))}</code>`).join(" ");
  if (schema.const !== undefined) return `<code>${esc(JSON.stringify(schema.const))}</code>`;
  if (schema.items) return `list of ${typeOf(schema.items)}`;
  if (schema.properties) {
    const fields = Object.entries(schema.properties).map(([name, p]) => `<code>${esc(name)}</code>: ${typeOf(p)}`);
    return `{${fields.join(", ")}}`;
  }
  if (typeof schema.additionalProperties === "object") return `map of ${typeOf(schema.additionalProperties)}`;
  return esc([schema.type ?? "any"].flat().join(" or ") + (schema.format ? ` (${schema.format})` : ""));
}

const RULES = ["default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"];
const rules = (schema: Schema): string =>
  RULES.filter((rule) => schema[rule] !== undefined)
    .map((rule) => `${rule} ${JSON.stringify(schema[rule])}`)
    .join(", ");

const STYLE = `:root{color-scheme:light dark;--line:#8884;--soft:#8882}
*{box-sizing:border-box}body{margin:0;font:15px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:20rem 1fr}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid var(--line);font-size:13px}
nav ul{list-style:none;padding-left:.5rem;margin:.2rem 0 .6rem}nav a{text-decoration:none;color:inherit}
main{padding:1rem 2rem;max-width:70rem;min-width:0}section{border-top:1px solid var(--line);padding:.5rem 0 1rem}
h3{font:600 15px ui-monospace,monospace;overflow-wrap:anywhere}h4{margin:.8rem 0 .3rem}
table{border-collapse:collapse;width:100%;font-size:14px}td{border:1px solid var(--line);padding:.3rem .5rem;vertical-align:top;overflow-wrap:anywhere}
code{background:var(--soft);border-radius:3px;padding:0 .25em}.scope{border:1px solid var(--line);border-radius:1em;padding:0 .6em;font-size:12px}
.get{color:#1a7f37}.post{color:#0969da}.patch,.put{color:#9a6700}.delete{color:#cf222e}
@media(max-width:50rem){body{grid-template-columns:1fr}nav{position:static;height:auto;border:0}main{padding:1rem}}`;
