import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { freePort, isFree } from "../../src/cli/port.ts";
import {
  descendants,
  descendantsIn,
  isAlive,
  killHard,
  parentOf,
  parseProcessTable,
  startedWith,
} from "../../src/cli/process-tree.ts";
import { formatVars, openStateDir } from "../../src/cli/state-dir.ts";

describe("the process tree", () => {
  test("knows every generation below a process, and nobody else's", () => {
    const table = parseProcessTable("   1 0\n  10 1\n  11 10\n 12 11\n 20 1\n\n");
    expect(descendantsIn(table, 10)).toEqual([11, 12]);
    expect(descendantsIn(table, 20)).toEqual([]);
  });

  test("finds and kills a living grandchild", async () => {
    const shell = spawn("sh", ["-c", "sleep 60 & echo started; wait"], { stdio: ["ignore", "pipe", "ignore"] });
    await once(shell.stdout, "data");
    const pid = shell.pid ?? 0;
    expect(parentOf(pid)).toBe(process.pid);
    const below = descendants(pid);
    expect(below).toHaveLength(1);
    killHard([...below, pid]);
    await once(shell, "exit");
    expect(isAlive(pid)).toBe(false);
    killHard([pid]);
  });
});

test("a process is found by an argument, whole, of its command line", async () => {
  const sleeper = spawn("sleep", ["61.0625"]);
  await once(sleeper, "spawn");
  expect(startedWith("61.0625")).toEqual([sleeper.pid]);
  expect(startedWith("61.06")).toEqual([]);
  killHard(startedWith("61.0625"));
  await once(sleeper, "exit");
});

describe("the state dir", () => {
  const fresh = () => join(mkdtempSync(join(tmpdir(), "sluice-state-")), "state");

  test("makes its secrets once, readable by their owner only, and ignores itself in git", () => {
    const path = fresh();
    const first = openStateDir(path, undefined);
    expect(first.adminToken).toMatch(/^[0-9a-f]{64}$/);
    expect(first.encryptionKeys).toMatch(/^1:[A-Za-z0-9+/]{43}=$/);
    expect(openStateDir(path, undefined)).toEqual(first);
    expect(statSync(join(path, "admin-token")).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(path, ".gitignore"), "utf8")).toBe("*\n");
  });

  test("prefers the admin token of the environment, and does not keep it", () => {
    const path = fresh();
    const made = openStateDir(path, undefined).adminToken;
    expect(openStateDir(path, "given").adminToken).toBe("given");
    expect(openStateDir(path, undefined).adminToken).toBe(made);
  });

  test("writes variables so that quotes and spaces survive", () => {
    expect(formatVars({ A: "1:a+/=", B: 'say "hi"' })).toBe(`A="1:a+/="\nB='say "hi"'`);
  });
});

test("a port that is taken is not offered", async () => {
  const squatter = createServer().listen(0, "127.0.0.1");
  await once(squatter, "listening");
  const { port } = squatter.address() as { port: number };
  expect(await isFree(port)).toBe(false);
  squatter.close();
  await once(squatter, "close");
  expect(await isFree(port)).toBe(true);
  expect(await isFree(await freePort())).toBe(true);
});
