import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApi } from "../../src/cli/api.ts";
import { readWranglerConfig } from "../../src/cli/wrangler-config.ts";
import { blocksOf, type Page, readPages } from "./docs-blocks.ts";
import { Session, showsJson, showsText } from "./docs-session.ts";
import { root, type Sluice, scriptEnvironment, startSluice } from "./harness.ts";

/** The README and the pages under src/docs do what they say: every block of them is run, or says why it cannot be. */

const ADMIN_TOKEN = "docs-admin-token-0123456789abcdef0123456789";
const folder = join(root, "test-results/docs");
const pages = readPages();
const all = pages.flatMap((page) => page.blocks);
const run = promisify(execFile);

let sluice: Sluice;

beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  if (isBuildOld()) await run("npm", ["run", "build"], { cwd: root, env: scriptEnvironment({}) });
  sluice = await startSluice({ env: { ADMIN_TOKEN } });
});

afterAll(async () => {
  await sluice.signalGroup("SIGINT");
});

/** The examples run what `npm ci` has built, unless the source was changed since. */
function isBuildOld(): boolean {
  const builtAt = statSync(join(root, "dist/sluice.js"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return sources().some((file) => statSync(file).mtimeMs > builtAt);
}

const sources = (): string[] =>
  readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(root, "src", file));

test.concurrent("npm run demo shows the way of a real list to its end", { timeout: 120_000 }, async () => {
  // `npm ci && npm run demo`: the first half of it is how this test came to run.
  const { stdout } = await run("npm", ["run", "--silent", "demo"], { cwd: root, env: scriptEnvironment({}) });
  expect(stdout).toContain("] 100 %  7184/7184");
  expect(stdout).toMatch(/^completed +6\d\d\d +9\d\.\d %$/m);
  expect(stdout).toMatch(/^failed +\d+ /m);
  expect(stdout).toMatch(/^most at once +50$/m);
  expect(stdout).toMatch(/STATE_DIR=\S+ npm run dev/);
  expect(stdout).not.toContain("\x1b");
});

/** A project of the page's own, so that pages do not see each other's work. */
async function surroundings(page: Page) {
  const name = basename(page.path, ".md").toLowerCase();
  const admin = createApi(sluice.url, ADMIN_TOKEN);
  const { id } = await admin.post<{ id: string }>("/v1/projects", { name: `${name} page` });
  const body = { project_id: id, name: "page", scopes: ["*"] };
  const { key } = await admin.post<{ key: string }>("/v1/api-keys", body);
  const env = { URL: sluice.url, KEY: key, ADMIN_TOKEN };
  return { folder: join(folder, name), stateDir: sluice.stateDir, env };
}

describe.concurrent("every block does what it says:", () => {
  test.each(pages)("$path", { timeout: 120_000 }, async (page) => {
    const session = new Session(await surroundings(page));
    try {
      for (const block of page.blocks) await session.take(block);
      if (page.path === "src/docs/operating.md") expect(session.deployed).toEqual(deployment());
    } finally {
      await session.end();
    }
  });
});

/** The commands that make all that `wrangler.toml` names, and then the Worker. */
function deployment(): string[] {
  const { d1_databases = [], queues = {}, r2_buckets = [] } = readWranglerConfig(root);
  const [database] = d1_databases.map(({ database_name }) => database_name);
  return [
    `npx wrangler d1 create ${database}`,
    ...(queues.consumers ?? []).map(({ queue }) => `npx wrangler queues create ${queue}`),
    ...r2_buckets.map(({ bucket_name }) => `npx wrangler r2 bucket create ${bucket_name}`),
    `npx wrangler d1 migrations apply ${database} --remote`,
    "npm run deploy -- --secrets-file .state/production.env",
    // An upgrade.
    `npx wrangler d1 migrations apply ${database} --remote`,
    "npm run deploy",
  ];
}

test("what is not run says why, and is all there is", () => {
  const skipped = all.filter(({ kind }) => kind === "not run").map(({ page, note }) => `${page}: ${note}`);
  expect(skipped).toEqual([]);
  const elsewhere = all.filter(({ kind }) => kind === "run by");
  for (const { note, text } of elsewhere) {
    expect(readFileSync(join(root, note), "utf8"), note).toContain(text.trim());
  }
});

test.concurrent("the examples in TypeScript are typed right", { timeout: 120_000 }, async () => {
  const types = join(folder, "types");
  mkdirSync(types, { recursive: true });
  for (const { page, line, text } of all.filter(({ language }) => language === "ts")) {
    writeFileSync(join(types, `${basename(page, ".md")}-${line}.ts`), `${text}\nexport {};\n`);
  }
  const config = {
    extends: "../../../tsconfig.json",
    compilerOptions: { types: ["node", "@cloudflare/workers-types"] },
    include: ["./*.ts"],
    exclude: [],
    files: [],
  };
  writeFileSync(join(types, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const checked = run(process.execPath, [tsc, "-p", types], { cwd: root });
  await expect(checked.catch((error: { stdout: string }) => error.stdout)).resolves.toEqual({ stdout: "", stderr: "" });
});

describe("the pages hold together:", () => {
  test("every link leads somewhere", () => {
    const broken = pages.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].flatMap(([link, to = "", anchor]) => {
        const file = to === "" ? path : join(dirname(path), to);
        if (!existsSync(join(root, file))) return [`${path}: ${link}`];
        return anchor === undefined || anchorsOf(file).includes(anchor) ? [] : [`${path}: ${link}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  test("every page is linked from the README", () => {
    const readme = pages.find(({ path }) => path === "README.md")?.text ?? "";
    expect(
      pages.map(({ path }) => path).filter((path) => path !== "README.md" && !readme.includes(`(${path})`)),
    ).toEqual([]);
  });

  test("every route and field that they name is there", async () => {
    const { paths } = await createApi(sluice.url, "").get<{ paths: Record<string, object> }>("/openapi.json");
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, "{}")}`),
    );
    const code = sources().map((file) => readFileSync(file, "utf8"));
    const unknown = pages.flatMap(({ path, text }) => {
      const named = [...text.matchAll(/`(GET|POST|PUT|PATCH|DELETE) (\/[^`?\s]*)[^`]*`/g)].map(
        ([, method, route = ""]) => `${method} ${route.replaceAll(/\{\w+\}/g, "{}")}`,
      );
      const names = [...text.matchAll(/`([a-z]+(?:_[a-z0-9]+)+)`/g)].map(([, name = ""]) => name);
      return [
        ...named.filter((route) => !routes.includes(route)),
        ...names.filter((name) => !code.some((source) => source.includes(name))),
      ].map((name) => `${path}: ${name}`);
    });
    expect(unknown).toEqual([]);
  });
});

const anchorsOf = (file: string): string[] =>
  [...readFileSync(join(root, file), "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

describe("the reader of blocks", () => {
  test("finds each with what is to be done with it, and nothing that it does not understand", () => {
    const text = "<!-- serves -->\n```js\na\n```\n\n- x\n\n  ```sh\n  b\n    c\n  ```\n\n```\ndrawing\n```\n";
    expect(blocksOf("p", text).map(({ kind, language, text, line }) => [kind, language, text, line])).toEqual([
      ["serves", "js", "a\n", 3],
      ["runs", "sh", "b\n  c\n", 9],
    ]);
    expect(() => blocksOf("p", "<!-- run it -->\n```sh\n```\n")).toThrow("p:1");
    expect(() => blocksOf("p", "```python\n```\n")).toThrow("python");
    expect(() => blocksOf("p", "```sh\n")).toThrow("does not end");
  });

  test("compares what is printed line by line, and JSON member by member", () => {
    expect(showsText("x\na 1 b\nc\n", "a … b\nc")).toBe(true);
    expect(showsText("c\na 1 b\n", "a … b\nc")).toBe(false);
    expect(showsText("a.b", "axb")).toBe(false);
    expect(showsJson('noise\n{"a":1,"b":["x","y"]}\n', '{"a":"…","b":["x","…"]}')).toBe(true);
    expect(showsJson('{"a":1,"b":2}', '{"a":1}')).toBe(false);
    expect(showsJson('{"a":1,"b":2}', '{"a":1,"…":"…"}')).toBe(true);
    expect(showsJson('{"a":1}', '{"a":2}')).toBe(false);
    expect(showsJson("none", "{}")).toBe(false);
  });
});
