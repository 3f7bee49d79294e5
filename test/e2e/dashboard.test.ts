import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ndjson, root, type Sluice, startSluice } from "./harness.ts";

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
      response.statusCode = fail && !isHealed ? 422 : 200;
      response.end(JSON.stringify({ seen: HOSTILE }));
    }, 20);
  });
  endpoint.listen(0, "127.0.0.1");
  [sluice, browser] = await Promise.all([
    startSluice(),
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
    await page.goBack();

    isHealed = true;
    await page.getByRole("button", { name: "Retry failed" }).click();
    await page.getByText("succeeded", { exact: true }).waitFor();
    expect(await figure(page, "Completed").textContent()).toBe(String(FAILING));

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
    await context.close();
  });
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
