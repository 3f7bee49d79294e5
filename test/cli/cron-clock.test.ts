import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { startCronClock } from "../../src/cli/cron-clock.ts";

afterEach(() => {
  vi.useRealTimers();
});

test("the development server's clock fires at the start and at every full minute, and no more once it is stopped", async () => {
  const fired: string[] = [];
  const server = createServer((request, response) => {
    fired.push(request.url ?? "");
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: Date.UTC(2026, 0, 1, 0, 0, 59, 900) });
  const clock = startCronClock(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, "* * * * *");
  const count = (n: number) => vi.waitFor(() => expect(fired).toHaveLength(n), { timeout: 5_000 });
  const pass = (ms: number) => vi.advanceTimersByTime(ms);
  const url = `/cdn-cgi/local/scheduled?cron=${encodeURIComponent("* * * * *")}`;

  await count(1);
  pass(99);
  pass(1);
  await count(2);
  pass(59_999);
  pass(1);
  await count(3);
  pass(180_000);
  await count(6);
  clock.stop();
  pass(600_000);
  expect(fired).toEqual(Array(6).fill(url));
  server.close();
});
