import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ndjson, newStateDir, root, type Sluice, startSluice } from "./harness.ts";

/** The dashboard as people use it: in a real browser, against the real server. */

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SHOTS = join(root, "test-results/screenshots");
const ITEMS = 300;
const FAILING = ITEMS / 10;
/** Were it run, the page would know. */
const HOSTILE = "<script>window.hostileHasRun = true</script><img src=x onerror='window.hostileHasRun = true'>";

let sluice: Sluice;
let browser: Browser;
let isHealed = false;
let endpoint: Server;

/** Puts an object into the bucket that `r2://DATA` names. Nobody else may be using the folder. */
async function putObject(stateDir: string, key: string, body: string): Promise<void> {
  const worker = { name: "bucket", modules: true, script: "export default {}", r2Buckets: { DATA: "sluice-data" } };
  const store = new Miniflare(
    convertV4MiniflareOptions({ resourcePersistencePath: join(stateDir, "v3"), workers: [worker] }),
  );
  await (await store.getR2Bucket("DATA")).put(key, body);
  await store.dispose();
}

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) {
    throw new Error(
      `There is no Chromium at ${CHROMIUM}. Install one (Debian and Ubuntu: apt-get update && apt-get install -y chromium), or set CHROMIUM to where it is.`,
    );
  }
  endpoint = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { fail } = JSON.parse(body) as { fail?: boolean };
    setTimeout(() => {
      if (request.url === "/gone") response.statusCode = isHealed ? 200 : 410;
      else response.statusCode = fail && !isHealed ? 422 : 200;
      response.end(JSON.stringify({ seen: HOSTILE }));
    }, 20);
  });
  endpoint.listen(0, "127.0.0.1");
  const stateDir = await newStateDir();
  const people = `id,name\n1,Ada\nx,"${HOSTILE}"\n3,Eve\n`;
  await putObject(stateDir, "people/all.csv", people);
  [sluice, browser] = await Promise.all([
    startSluice({ stateDir }),
    chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] }),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await sluice?.signalGroup("SIGTERM");
  endpoint?.closeAllConnections();
  endpoint?.close();
});

const createJob = (name: string, more: Record<string, unknown> = {}): Promise<{ id: string; slug: string }> => {
  const { port } = endpoint.address() as AddressInfo;
  return sluice.api.post("/v1/jobs", { name, endpoint_url: `http://127.0.0.1:${port}/`, max_concurrency: 6, ...more });
};

const items = ndjson(Array.from({ length: ITEMS }, (_, n) => ({ payload: { n, fail: n % 10 === 0, note: HOSTILE } })));
const asFile = (name: string, content: string | Buffer) => ({
  name,
  mimeType: "application/octet-stream",
  buffer: Buffer.from(content),
});

/** What the browser has to complain about. */
interface Complaints {
  /** Errors and warnings of the console, and what nobody caught. */
  said: string[];
  /** Policy violations, how far things moved by themselves, and what hostile content has done. */
  inPage(): Promise<{ violations: string[]; shifts: { value: number }[]; hostileHasRun: boolean }>;
}

/** Runs in the page, before its own scripts. */
const WATCHER = `
  window.violations = [];
  window.shifts = [];
  document.addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective + ": " + e.blockedURI));
  new PerformanceObserver((list) => {
    for (const { hadRecentInput, value, sources } of list.getEntries()) {
      const moved = sources.map(({ node }) => (node?.parentElement?.className ?? "") + " > " + (node?.className || node?.nodeName));
      if (!hadRecentInput) shifts.push({ value, moved, at: location.hash });
    }
  }).observe({ type: "layout-shift", buffered: true });
`;

async function openPage(context: BrowserContext): Promise<{ page: Page; complaints: Complaints }> {
  const page = await context.newPage();
  const said: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(String(error)));
  await page.addInitScript({ content: WATCHER });
  await page.goto(sluice.url);
  const inPage: Complaints["inPage"] = () =>
    page.evaluate("({ violations, shifts, hostileHasRun: window.hostileHasRun === true })");
  return { page, complaints: { said, inPage } };
}

async function change(method: "PATCH" | "DELETE", path: string, body?: unknown): Promise<void> {
  const headers = { authorization: `Bearer ${sluice.apiKey}`, "content-type": "application/json" };
  const answer = await fetch(sluice.url + path, { method, headers, body: JSON.stringify(body) });
  expect(answer.ok).toBe(true);
}

async function signIn(page: Page, key: string): Promise<void> {
  await page.locator("input").first().fill(key);
  await page.keyboard.press("Enter");
}

/** Opened afresh: what moves there is excused by no click. */
async function expectSteady(page: Page, path: string, whenShown: () => Promise<unknown>, complaints: Complaints) {
  await page.goto("about:blank");
  await page.goto(sluice.url + path);
  await whenShown();
  expect((await complaints.inPage()).shifts.filter(({ value }) => value >= 0.005)).toEqual([]);
}

const shoot = (page: Page, name: string) => page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });

const figure = (page: Page, label: string) =>
  page.locator(".figure", { has: page.getByText(label, { exact: true }) }).locator(".figure-value");

describe.each([
  { width: 1280, colorScheme: "light" },
  { width: 390, colorScheme: "dark" },
] as const)("at $width pixels", ({ width, colorScheme }) => {
  test("a file becomes a batch that is watched to its end, and what failed is tried again", async () => {
    isHealed = false;
    const job = await createJob(`Orders ${HOSTILE} ${width}`, { slug: `orders-${width}` });
    const context = await browser.newContext({ viewport: { width, height: 860 }, colorScheme });
    const { page, complaints } = await openPage(context);
    const say = (step: string) => shoot(page, `${width}-${step}`);
    await say("sign-in");

    await signIn(page, `sluice_${"0".repeat(64)}`);
    await page.getByText("This API key is wrong, expired or revoked.").waitFor();
    // The browser itself logs the 401 that was asked for.
    expect(complaints.said.splice(0)).toHaveLength(1);
    await signIn(page, sluice.apiKey);
    await page.getByRole("link", { name: `Orders ${HOSTILE} ${width}`, exact: true }).click();
    await page.getByRole("tab", { name: "Trigger" }).click();

    await page.getByLabel("Drop a file of NDJSON or CSV, or choose one").setInputFiles(asFile("orders.ndjson", items));
    await page.getByText('{"payload":{"n":0,').waitFor();
    await say("trigger");
    await page.getByRole("button", { name: "Trigger all" }).click();
    await page.getByText("live", { exact: true }).waitFor();
    await figure(page, "Completed").getByText(/[1-9]/).waitFor();
    await say("batch-at-work");
    await page.getByText("finished", { exact: true }).waitFor();
    await page.getByText("partially failed").first().waitFor();
    expect(await figure(page, "Completed").textContent()).toBe(String(ITEMS - FAILING));
    expect(await figure(page, "Failed").textContent()).toBe(String(FAILING));
    await page
      .getByRole("row", { name: /HTTP 422: the endpoint refused it/ })
      .nth(FAILING - 1)
      .waitFor();
    await say("batch-finished");

    await page.getByRole("table", { name: "Failed runs" }).getByRole("link").first().click();
    await page.getByRole("region", { name: "Payload" }).getByText("window.hostileHasRun = true").first().waitFor();
    await page.getByText("Attempt 1").waitFor();
    await say("run");
    const runPath = new URL(page.url()).hash;
    await page.goBack();

    isHealed = true;
    await page.getByRole("button", { name: "Retry failed" }).click();
    await page.getByText("succeeded", { exact: true }).waitFor();
    expect(await figure(page, "Completed").textContent()).toBe(String(FAILING));
    const batchPath = new URL(page.url()).hash;

    await page.getByRole("link", { name: new RegExp(`${width}$`) }).click();
    await page.getByRole("heading", { name: "Throughput" }).waitFor();
    await page.locator("canvas").first().waitFor();
    await say("job");
    for (const name of ["Runs", "Imports", "Webhooks", "Workflows", "Batches", "Jobs"]) {
      await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name }).click();
      await page.getByRole("heading", { name, level: 1 }).waitFor();
    }
    await say("jobs");

    const { shifts, ...inPage } = await complaints.inPage();
    expect(inPage).toEqual({ violations: [], hostileHasRun: false });
    expect(shifts.filter(({ value }) => value >= 0.005)).toEqual([]);
    expect(complaints.said).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
    expect(page.url()).not.toContain("sluice_");
    expect(await page.evaluate("JSON.stringify({ ...localStorage }) + document.cookie")).not.toContain("sluice_");
    expect(await sluice.api.get(`/v1/jobs/${job.id}/runs?status=failed&limit=1`)).toMatchObject({ data: [{}] });

    // Nobody can know beforehand how many lines a name takes.
    await change("PATCH", `/v1/jobs/${job.id}`, { name: `Orders ${width}` });
    const shown = (name: string) => () => page.getByRole("table", { name }).waitFor();
    await expectSteady(page, `/${batchPath}`, shown("Runs"), complaints);
    await expectSteady(page, `/${runPath}`, () => page.getByText("Attempt 1").waitFor(), complaints);
    await expectSteady(page, `/#/jobs/${job.id}`, () => page.locator("canvas").nth(1).waitFor(), complaints);
    await context.close();
  });
});

test("versions are restored, a schedule and an import are read, and a webhook is sent again by hand", async () => {
  isHealed = false;
  const { port } = endpoint.address() as AddressInfo;
  const cron = { cron: "0 6 * * *", timezone: "Europe/Berlin" };
  const job = await createJob("Reports", { ...cron, max_concurrency: 4, webhook_url: `http://127.0.0.1:${port}/gone` });
  await change("PATCH", `/v1/jobs/${job.id}`, { max_concurrency: 9, description: HOSTILE });
  const id = { name: "id", datatype: { type: "int32" } };
  await sluice.api.post("/v1/transforms", {
    ...{ name: "people", type: "csv" },
    settings: { format_details: { skip_head: 1 }, output_columns: [id] },
  });
  const asked = { job: job.id, name: "People", source: { url: "r2://DATA/people/" }, transform: "people" };
  await sluice.api.post("/v1/imports", asked);
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "dark" });
  const { page, complaints } = await openPage(context);
  // No dialog stands between the button and the file.
  await page.addInitScript({ content: "delete window.showSaveFilePicker" });
  await page.reload();
  // The field has the focus from the first moment on.
  await page.keyboard.insertText(sluice.apiKey);
  await page.keyboard.press("Enter");

  await page.getByRole("link", { name: "Reports" }).click();
  await page.getByRole("tab", { name: "Versions" }).click();
  const changes = page.getByRole("region", { name: /^Changes of version/ });
  const changed = (field: string) => changes.locator(".diff-field", { hasText: field }).locator("pre");
  await changed("max_concurrency").first().waitFor();
  expect(await changed("max_concurrency").allTextContents()).toEqual(["was 4", "is 9"]);
  expect(await changed("description").allTextContents()).toEqual(["was null", `is ${JSON.stringify(HOSTILE)}`]);
  await shoot(page, "versions");
  const version = (n: number) =>
    page.getByRole("table", { name: "Versions" }).getByRole("row", { name: new RegExp(`^${n} `) });
  await version(1).getByRole("button", { name: "Changes" }).click();
  await page.getByText("This is the first version.").waitFor();
  await version(1).getByRole("button", { name: "Restore" }).click();
  await version(1).getByRole("button", { name: "Make it the newest?" }).click();
  await version(3).locator(".main-name", { hasText: "now" }).waitFor();
  await version(3).getByRole("button", { name: "Changes" }).click();
  await changes.getByRole("combobox").selectOption("version 1");
  await page.getByText("They are the same.").waitFor();
  expect(await sluice.api.get(`/v1/jobs/${job.id}`)).toMatchObject({
    version: 3,
    max_concurrency: 4,
    description: null,
  });

  await page.getByRole("tab", { name: "Schedule" }).click();
  await page.getByText("Europe/Berlin").waitFor();
  const times = page.getByRole("table", { name: "Next times" }).getByRole("row");
  await times.nth(20).waitFor();
  const schedule = await sluice.api.get<{ data: string[] }>(`/v1/jobs/${job.id}/schedule?count=20`);
  expect(await times.nth(1).textContent()).toContain(schedule.data[0]);
  expect(await times.nth(20).textContent()).toContain(schedule.data[19]);

  const main = page.getByRole("navigation", { name: "Main" });
  await main.getByRole("link", { name: "Imports" }).click();
  await page.getByRole("link", { name: "People" }).click();
  await page.locator(".page-sub").getByText("done with errors").waitFor();
  expect(await figure(page, "Rows read").textContent()).toBe("3");
  expect(await figure(page, "Delivered").textContent()).toBe("2");
  await page.getByRole("row", { name: /people\/all\.csv done/ }).waitFor();
  await page.getByRole("tab", { name: "Rejected rows 1" }).click();
  await page.getByRole("row", { name: 'column id: "x" is not an integer' }).getByText(HOSTILE).waitFor();
  await shoot(page, "import");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download rejects" }).click(),
  ]);
  const rejects = (await readFile(await download.path(), "utf8")).trim().split("\n");
  expect(rejects.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { file: "r2://DATA/people/all.csv", line: 3 },
  ]);

  await main.getByRole("link", { name: "Webhooks" }).click();
  await page.getByLabel("Status").selectOption("dead");
  const deliveries = page.getByRole("table", { name: "Webhook deliveries" });
  await deliveries.getByText("1 try, the last: HTTP 410").nth(1).waitFor();
  await shoot(page, "webhooks");
  isHealed = true;
  await deliveries.getByRole("button", { name: "Retry" }).first().click();
  await page.getByLabel("Status").selectOption("delivered");
  await deliveries.getByText("2 tries, the last: HTTP 200").click();
  await deliveries.getByText(/HTTP 410$/).waitFor();
  expect(await deliveries.getByRole("row").count()).toBe(2);

  const { shifts, ...inPage } = await complaints.inPage();
  expect(inPage).toEqual({ violations: [], hostileHasRun: false });
  expect(shifts.filter(({ value }) => value >= 0.005)).toEqual([]);
  expect(complaints.said).toEqual([]);

  await sluice.api.post(`/v1/jobs/${job.id}/pause`);
  const { batch_id } = await sluice.api.post<{ batch_id: string }>(`/v1/jobs/${job.id}/trigger-bulk`, { items: [{}] });
  await page.goto(`${sluice.url}/#/batches/${batch_id}`);
  await page.getByText("Its job's runs wait because the job is paused or disabled.").waitFor();
  await page.getByText("live", { exact: true }).waitFor();
  // The browser says nothing of a stream that has merely fallen silent; what is asked beside it does.
  await context.setOffline(true);
  await page.getByText("connecting again…").waitFor();
  await context.setOffline(false);
  await page.getByText("live", { exact: true }).waitFor();
  await context.close();
});

test("a wrong file, a lost connection, a new name and a revoked key cost nothing that was typed", async () => {
  const job = await createJob("Invoices");
  const key = await sluice.api.post<{ id: string; key: string }>("/v1/api-keys", { name: "short", scopes: ["*"] });
  const context = await browser.newContext();
  const { page } = await openPage(context);
  await signIn(page, key.key);
  await page.getByRole("link", { name: "Invoices" }).click();
  await page.getByRole("tab", { name: "Trigger" }).click();
  const payload = page.getByLabel("Payload, as JSON");
  await payload.fill('{"typed": "and kept"}');

  const file = page.getByLabel("Drop a file of NDJSON or CSV, or choose one");
  await file.setInputFiles(asFile("orders.ndjson", Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10])));
  await page.getByText("This is a PNG image").waitFor();
  expect(await page.getByRole("button", { name: "Trigger all" }).isDisabled()).toBe(true);
  await page.getByRole("button", { name: "Another file" }).click();
  await file.setInputFiles(asFile("invoices.csv", `no,note\n1,"${HOSTILE}"\n2,plain\n`));
  await page.getByText('{"payload":{"no":"2","note":"plain"}}').waitFor();

  await context.setOffline(true);
  await page.getByRole("button", { name: "Trigger all" }).click();
  await page.getByText("Sluice cannot be reached.").first().waitFor();
  await context.setOffline(false);
  await page.getByText("succeeded", { exact: true }).waitFor();
  expect(await figure(page, "Items").textContent()).toBe("2");

  await page.goBack();
  await payload.fill('{"typed": "and kept"}');
  await change("PATCH", `/v1/jobs/${job.id}`, { name: "Bills", slug: "bills" });
  await page.getByRole("heading", { name: "Bills", level: 1 }).waitFor();
  await change("DELETE", `/v1/api-keys/${key.id}`);
  await page.getByText("The API key is no longer valid").waitFor();
  await signIn(page, sluice.apiKey);
  await page.getByRole("button", { name: "Trigger one" }).click();
  await page.getByText(/^Made/).getByRole("link").click();
  await page.getByRole("region", { name: "Payload" }).getByText('"typed": "and kept"').waitFor();
  await context.close();
});

test("the API and the files of the dashboard leave each other alone", async () => {
  const page = await fetch(sluice.url);
  expect(page.headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'");
  expect(page.headers.get("content-type")).toContain("text/html");
  for (const path of ["/v1/nothing", "/nothing", "/assets/nothing.js", "/kernel/nothing"]) {
    const answer = await fetch(sluice.url + path);
    expect([path, answer.status, answer.headers.get("content-type")]).toEqual([path, 404, "application/json"]);
  }
});
