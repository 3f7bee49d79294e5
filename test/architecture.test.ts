import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";

/** A file of `src/`, by its path there. */
interface Source {
  path: string;
  text: string;
}

const root = join(import.meta.dirname, "..");
const MAX_LINES = 400;

/** Folders of the Worker that meet each other only through these files. */
const DOORS = ["protocol.ts", "client.ts", "watch-protocol.ts", "watch-client.ts", "import-protocol.ts"];
const PEERS = ["coordinator", "delivery", "webhooks", "imports", "workflows"];
const withDoors = (own: string) => PEERS.filter((p) => p !== own).flatMap((p) => DOORS.map((door) => `${p}/${door}`));

/**
 * What a folder may import of `src/`, beside itself: folders, or single files. A file at the top of `src/` stands here by
 * its own name. The tools (`cli`) and the typed client run outside of the Worker.
 */
const MAY_IMPORT: Record<string, string[]> = {
  domain: [],
  store: ["domain", "env.ts"],
  coordinator: ["domain", "env.ts", "store/projection.ts", ...withDoors("coordinator")],
  delivery: ["domain", "env.ts", ...withDoors("delivery")],
  webhooks: ["domain", "env.ts", "store/webhook-queue.ts", ...withDoors("webhooks")],
  imports: ["domain", "env.ts", ...withDoors("imports")],
  workflows: ["domain", "env.ts", "store/workflow-runs.ts", ...withDoors("workflows")],
  operations: [
    ...[
      "domain",
      "store",
      "env.ts",
      ...DOORS.map((door) => `coordinator/${door}`),
      "coordinator/cron-protocol.ts",
      "webhooks/protocol.ts",
    ],
    ...["imports", "workflows"],
  ],
  http: ["domain", "operations", "env.ts"],
  // The methods' types are the routes' and stand with the client, for callers to import.
  rpc: ["domain", "operations", "env.ts", "client", "http/api.ts"],
  schedule: ["domain", "operations", "env.ts"],
  cli: ["client"],
  // Types alone: what the routes say of themselves.
  client: ["domain", "http/api.ts"],
  dashboard: ["client", "domain"],
  "log.ts": [],
  "env.ts": [
    "domain",
    "coordinator/protocol.ts",
    "imports/protocol.ts",
    "webhooks/protocol.ts",
    "workflows/protocol.ts",
  ],
  "index.ts": ["domain", "store", ...PEERS, "operations", "http", "rpc", "schedule", "env.ts"],
};

/** The log takes lines from everywhere but the pure. */
const SILENT = ["domain", "client", "cli", "dashboard"];

/** The only places that call the outside. */
const FETCHERS = ["delivery/call.ts", "webhooks/send.ts", "imports/source.ts"];

/** Where the clock and the dice are read; everything below them takes both as arguments. */
const SHELLS = [
  ...[
    "coordinator/job-coordinator.ts",
    "coordinator/departure.ts",
    "delivery/",
    "operations/",
    "http/",
    "rpc/",
    "schedule/",
    "webhooks/",
  ],
  ...["imports/", "workflows/", "index.ts", "env.ts"],
];

const OUTSIDE_THE_WORKER = ["cli/", "client/", "dashboard/"];

const within = (path: string, places: string[]) => places.some((place) => path === place || path.startsWith(place));
const folderOf = (path: string) => path.split("/")[0] ?? "";

function allowed(from: string, to: string): boolean {
  const own = folderOf(from);
  if (to === "log.ts" && !SILENT.includes(own)) return true;
  return folderOf(to) === own || (MAY_IMPORT[own] ?? []).some((place) => to === place || folderOf(to) === place);
}

/** The client runs anywhere: of the Worker it takes types alone. */
function valueViolation(path: string, specifier: string, node: ts.Node): string | null {
  const isType = ts.isImportDeclaration(node)
    ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
    : ts.isExportDeclaration(node)
      ? node.isTypeOnly
      : ts.isImportTypeNode(node);
  const isForeign =
    folderOf(path) === "client" && !within(normalize(join(dirname(path), specifier)), ["client/", "domain/"]);
  return isForeign && specifier.startsWith(".") && !isType ? `${path} imports more than types of ${specifier}` : null;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

/** The module that a declaration, `import()` or `import("…").Type` names. */
function moduleOf(node: ts.Node): string | null {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
    return node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier.text : null;
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return node.argument.literal.text;
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [name] = node.arguments;
    return name && ts.isStringLiteral(name) ? name.text : null;
  }
  return null;
}

function importViolation(path: string, specifier: string): string | null {
  if (specifier.startsWith(".")) {
    const target = normalize(join(dirname(path), specifier));
    return allowed(path, target) ? null : `${path} imports ${target}`;
  }
  if (folderOf(path) !== "store" && /^drizzle-orm(\/|$)/.test(specifier)) return `${path} imports ${specifier}`;
  const platform = /^(node:|cloudflare:|hono|@hono\/)/.test(specifier);
  return folderOf(path) === "domain" && platform ? `${path} imports ${specifier}: domain is pure` : null;
}

const CLOCKS_AND_DICE = [
  ...["Date.now", "Math.random", "crypto.randomUUID", "crypto.getRandomValues", "performance.now"],
  ...["globalThis.crypto.randomUUID", "globalThis.crypto.getRandomValues"],
];

const CLOCK_OR_DICE = /^(now|random|randomUUID|getRandomValues)$/;

/** `Date.now` also where it is passed on; `new Date()` and `Date()` without an argument. */
function readsClockOrDice(node: ts.Node, file: ts.SourceFile): string | null {
  if (ts.isPropertyAccessExpression(node)) {
    // Asked first, since a text is dear.
    if (!CLOCK_OR_DICE.test(node.name.text)) return null;
    const text = node.getText(file);
    return CLOCKS_AND_DICE.includes(text) ? text : null;
  }
  const isDate = (e: ts.Expression) => ts.isIdentifier(e) && e.text === "Date";
  if (ts.isNewExpression(node) && isDate(node.expression) && !node.arguments?.length) return "new Date()";
  return ts.isCallExpression(node) && isDate(node.expression) ? "Date()" : null;
}

function callsOutside(node: ts.Node, file: ts.SourceFile): boolean {
  if (!ts.isCallExpression(node)) return false;
  const { expression } = node;
  // The text of a chain of calls is long.
  const isName = ts.isIdentifier(expression) || ts.isPropertyAccessExpression(expression);
  return isName && /^(globalThis\.|self\.)?fetch$/.test(expression.getText(file));
}

const writesToConsole = (node: ts.Node): boolean =>
  ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "console";

/** A file that only passes on what others export. */
function isBarrel(file: ts.SourceFile): boolean {
  return file.statements.length > 0 && file.statements.every((s) => ts.isExportDeclaration(s) && s.moduleSpecifier);
}

/** Every breach of the design's section 5, one line each. */
function violations({ path, text }: Source): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const lines = text.split("\n").length - 1;
  if (lines > MAX_LINES) found.push(`${path} has ${lines} lines`);
  if (isBarrel(file)) found.push(`${path} is a barrel`);
  const inWorker = !within(path, OUTSIDE_THE_WORKER);
  visit(file, (node) => {
    const specifier = moduleOf(node);
    const wrong =
      specifier === null ? null : (importViolation(path, specifier) ?? valueViolation(path, specifier, node));
    if (wrong) found.push(wrong);
    if (!inWorker) return;
    if (callsOutside(node, file) && !FETCHERS.includes(path)) found.push(`${path} calls fetch`);
    if (writesToConsole(node) && path !== "log.ts") found.push(`${path} writes past the log`);
    const clock = readsClockOrDice(node, file);
    if (clock && !within(path, SHELLS)) found.push(`${path} reads ${clock}`);
  });
  return found;
}

const sources = (): Source[] =>
  readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, "src", path), "utf8") }));

/** What stands at the root: what the design fixes, and what tools demand there. */
const AT_ROOT = [
  ...["package.json", "wrangler.toml", "tsconfig.json", "src", "migrations", "test", "README.md"],
  ...["package-lock.json", ".git", ".gitignore", "LICENSE", ".ci", "vitest.config.ts", "biome.json"],
];

function strangersAtRoot(names: string[], ignored: string): string[] {
  const patterns = ignored.split("\n").filter(Boolean);
  const isIgnored = (name: string) =>
    patterns.some((p) => (p.startsWith("*") ? name.endsWith(p.slice(1)) : p.replace(/\/$/, "") === name));
  return names.filter((name) => !AT_ROOT.includes(name) && !isIgnored(name));
}

describe("the laws of the layout", () => {
  test("hold in every file of src/", () => {
    const all = sources();
    expect(all.length).toBeGreaterThan(20);
    expect(all.flatMap(violations)).toEqual([]);
  });

  test("hold at the root", () => {
    const ignored = readFileSync(join(root, ".gitignore"), "utf8");
    expect(strangersAtRoot(readdirSync(root), ignored)).toEqual([]);
    expect(strangersAtRoot(["package.json", "x.log", "node_modules", "notes.txt"], ignored)).toEqual(["notes.txt"]);
  });

  test("each route is among those that the typed client knows", () => {
    const routes = sources().filter(({ path }) => path.startsWith("http/routes/"));
    const api = readFileSync(join(root, "src/http/api.ts"), "utf8");
    const unknown = routes.flatMap(({ path, text }) => {
      const [, name = "", union = ""] = /export type (\w+Routes) =([^;]*);/.exec(text) ?? [];
      const made = [...text.matchAll(/^const (\w+) = (?:\([^\n]*=>\s*)?createRoute\(/gm)].map(
        ([, route]) => route as string,
      );
      const missing = made.filter((route) => !new RegExp(`typeof ${route}\\b`).test(union));
      return api.includes(`| ${name}`) || made.length === 0 ? missing.map((route) => `${path}: ${route}`) : [path];
    });
    expect(unknown).toEqual([]);
  });

  test("each folder of src/ has its line in the law", () => {
    const top = new Set(sources().map(({ path }) => folderOf(path)));
    expect([...top].filter((name) => !(name in MAY_IMPORT))).toEqual([]);
  });
});

test("no migration makes a trigger: its body is cut at the semicolons on the way to a remote database", () => {
  const folder = join(root, "migrations");
  const texts = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")] as const);
  expect(texts.filter(([, text]) => /\bCREATE\s+(TEMP\w*\s+)?TRIGGER\b/i.test(text)).map(([name]) => name)).toEqual([]);
});

describe("a breach is found:", () => {
  const breaches: [string, string, string][] = [
    ["domain/a.ts", 'import { x } from "../store/runs.ts";', "domain/a.ts imports store/runs.ts"],
    [
      "domain/a.ts",
      'import { env } from "cloudflare:workers";',
      "domain/a.ts imports cloudflare:workers: domain is pure",
    ],
    ["http/a.ts", 'import type { X } from "../coordinator/protocol.ts";', "http/a.ts imports coordinator/protocol.ts"],
    ["http/routes/a.ts", 'const s = await import("../../store/jobs.ts");', "http/routes/a.ts imports store/jobs.ts"],
    ["http/a.ts", 'type X = import("../store/jobs.ts").X;', "http/a.ts imports store/jobs.ts"],
    ["delivery/a.ts", 'import { Lane } from "../coordinator/lane.ts";', "delivery/a.ts imports coordinator/lane.ts"],
    ["delivery/a.ts", 'import { put } from "../store/projection.ts";', "delivery/a.ts imports store/projection.ts"],
    ["operations/a.ts", 'import { sql } from "drizzle-orm";', "operations/a.ts imports drizzle-orm"],
    ["store/a.ts", 'import worker from "../index.ts";', "store/a.ts imports index.ts"],
    ["operations/a.ts", "await fetch(url);", "operations/a.ts calls fetch"],
    ["operations/a.ts", "await globalThis.fetch(url);", "operations/a.ts calls fetch"],
    ["domain/a.ts", "const now = Date.now();", "domain/a.ts reads Date.now"],
    ["domain/a.ts", "const clock = Date.now;", "domain/a.ts reads Date.now"],
    ["store/a.ts", "const now = new Date();", "store/a.ts reads new Date()"],
    ["coordinator/lane.ts", "const dice = Math.random();", "coordinator/lane.ts reads Math.random"],
    ["store/a.ts", "const id = crypto.randomUUID();", "store/a.ts reads crypto.randomUUID"],
    ["http/a.ts", "console.error(payload);", "http/a.ts writes past the log"],
    ["domain/a.ts", 'import { logError } from "../log.ts";', "domain/a.ts imports log.ts"],
    ["domain/a.ts", 'export * from "./b.ts";\nexport { c } from "./c.ts";', "domain/a.ts is a barrel"],
    ["client/a.ts", 'import { app } from "../http/api.ts";', "client/a.ts imports more than types of ../http/api.ts"],
    ["domain/a.ts", "\n".repeat(MAX_LINES + 1), `domain/a.ts has ${MAX_LINES + 1} lines`],
  ];
  test.each(breaches)("%s: %s", (path, text, breach) => {
    expect(violations({ path, text })).toContain(breach);
  });

  const lawful: [string, string][] = [
    ["coordinator/flush.ts", 'import { put } from "../store/projection.ts";'],
    ["delivery/consumer.ts", 'import { coordinatorOf } from "../coordinator/client.ts";\nconst now = Date.now();'],
    ["store/runs.ts", 'import { logError } from "../log.ts";'],
    ["log.ts", "console.error(line);"],
    ["store/runs.ts", 'import { sql } from "drizzle-orm";\nexport const when = (at: number) => new Date(at);'],
    ["delivery/call.ts", "await fetch(url);"],
    ["domain/a.ts", '// Date.now() and fetch( in a comment\nexport const text = "Math.random()";'],
    ["client/a.ts", 'import type { ApiRoutes } from "../http/api.ts";'],
    ["index.ts", 'import { app } from "./http/app.ts";\nexport default { fetch: app.fetch };'],
    ["domain/a.ts", "\n".repeat(MAX_LINES)],
  ];
  test.each(lawful)("and lawful code is let be: %s: %s", (path, text) => {
    expect(violations({ path, text })).toEqual([]);
  });
});
