import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "smol-toml";
import { freePort } from "../../src/cli/port.ts";
import type { Block } from "./docs-blocks.ts";
import { record, root, scriptEnvironment, until } from "./harness.ts";

/** Every process that is started gets these; a page adds what it exports. */
export interface Surroundings {
  /** Where its files are: inside the project, so that modules find its packages. */
  folder: string;
  /** Of the Sluice that all pages use. */
  stateDir: string;
  env: Record<string, string>;
}

/** A port that a page names; those of npm run dev and of the platform are not its own. */
const OWN_PORT = /(?<=(?:127\.0\.0\.1:|listen\(|PORT \?\? |--port ))9\d\d\d\b/g;
const PATIENCE_MS = 20_000;
/** A block that waits for what never comes is ended. */
const LONGEST_BLOCK_MS = 90_000;

/** A flaw of wrangler's own: its local `r2 object put` fails now and then with "Network connection lost", and writes nothing. */
const NPX = `npx() {
  local said code
  for _ in 1 2 3; do
    code=0; said=$(command npx "$@") || code=$?
    [[ $code != 0 && $said == *"connection lost"* ]] || break
  done
  echo "$said"; return $code
}`;

interface Server {
  block: Block;
  child: ChildProcess;
  output: { text: string };
}

/** Runs a page from its top to its end, as one reader would in one shell. */
export class Session {
  private readonly at: Surroundings;
  private readonly ports = new Map<string, number>();
  private readonly servers: Server[] = [];
  private configuration = "";
  private printed = "";

  constructor(at: Surroundings) {
    this.at = at;
    mkdirSync(at.folder, { recursive: true });
    // The README stands where the build does.
    symlinkSync(join(root, "dist"), join(at.folder, "dist"));
  }

  /** @throws Error that names the block, and says what it printed. */
  async take(block: Block): Promise<void> {
    try {
      await this.does(block);
    } catch (error) {
      const said = this.servers.map(({ output }) => output.text).join("\n");
      throw new Error(`${block.page}:${block.line}: ${error instanceof Error ? error.message : error}\n${said}`);
    }
  }

  async end(): Promise<void> {
    for (const { child } of this.servers) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
      await ended;
    }
  }

  private async does(block: Block): Promise<void> {
    const { kind, language } = block;
    if (kind === "prints") return this.expects(block);
    if (kind === "shows" && language === "json") JSON.parse(block.text.replaceAll("…", ""));
    if (kind === "shows" || kind === "not run" || kind === "run by") return;
    if (language === "toml") {
      this.configuration = block.text;
      return;
    }
    if (kind === "worker") return this.serves(block, await this.workerCommand(block));
    if (kind === "serves") return this.serves(block, await this.commandOf(block));
    const { code, output } = await this.runs(await this.commandOf(block));
    this.printed = output;
    if (code !== 0) throw new Error(`exits with ${code}:\n${output}`);
  }

  private async expects({ text, language }: Block): Promise<void> {
    const matches = (): boolean =>
      language === "json"
        ? showsJson(this.printed, text)
        : [this.printed, ...this.servers.map(({ output }) => output.text)].some((printed) => showsText(printed, text));
    const deadline = Date.now() + PATIENCE_MS;
    while (!matches()) {
      if (Date.now() > deadline) throw new Error(`the block before it printed\n${this.printed}`);
      await sleep(20);
    }
  }

  private async commandOf(block: Block): Promise<string[]> {
    const text = await this.withPlaces(block.text);
    if (block.language === "sh") return ["bash", "-c", this.script(block, text)];
    const file = this.write(`${block.line}.${block.language === "ts" ? "ts" : "mjs"}`, text);
    return [process.execPath, file];
  }

  /** Variables and functions of the blocks before are there, as in the one shell of a reader. */
  private script({ kind }: Block, text: string): string {
    const kept = join(this.at.folder, "shell");
    if (kind === "serves") return `[ -f ${kept} ] && . ${kept}; exec ${text.replace(/ &$/m, "")}`;
    if (kind === "deploys") {
      const log = join(this.at.folder, "commands");
      return `set -euo pipefail; npx() { echo "npx $*" >> ${log}; }; npm() { echo "npm $*" >> ${log}; }\n${text}`;
    }
    return [
      "set -euo pipefail; exec 2>&1",
      `[ ! -f ${kept} ] || . ${kept}`,
      "set -a",
      'curl() { command curl --silent --show-error --fail-with-body "$@"; }',
      NPX,
      text,
      `{ export -p; declare -f; } > ${kept}`,
    ].join("\n");
  }

  /** The commands of `deploys` blocks, which went nowhere. */
  get deployed(): string[] {
    const log = join(this.at.folder, "commands");
    return existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
  }

  private async workerCommand(block: Block): Promise<string[]> {
    const folder = join(this.at.folder, `worker-${block.line}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "worker.ts"), await this.withPlaces(block.text));
    const config = parse(this.configuration) as Record<string, unknown>;
    writeFileSync(
      join(folder, "wrangler.json"),
      JSON.stringify({ name: "example", compatibility_date: "2026-08-15", ...config, main: "worker.ts" }),
    );
    const port = await this.portOf(block.note);
    const wrangler = join(root, "node_modules/.bin/wrangler");
    const vars = Object.entries(this.shellVariables()).flatMap(([name, value]) =>
      /_SECRET$/.test(name) ? ["--var", `${name}:${value}`] : [],
    );
    return [
      ...[wrangler, "dev", "-c", join(folder, "wrangler.json"), "--ip", "127.0.0.1", "--port", String(port)],
      ...["--inspector-port", "0", "--show-interactive-dev-session=false", ...vars],
    ];
  }

  /** Starts what stays, and waits until its port is open. */
  private async serves(block: Block, command: string[]): Promise<void> {
    const child = this.spawn(command);
    const output = record(child);
    this.servers.push({ block, child, output });
    const [named] = block.kind === "worker" ? [block.note] : (block.text.match(OWN_PORT) ?? []);
    if (named === undefined) throw new Error("listens on no port that the text names");
    const port = await this.portOf(named);
    await until(async () => {
      if (child.exitCode !== null) throw new Error("did not stay up");
      return isOpen(port);
    });
  }

  private async runs(command: string[]): Promise<{ code: number; output: string }> {
    const child = this.spawn(command);
    const output = record(child);
    const patience = setTimeout(() => process.kill(-(child.pid as number), "SIGKILL"), LONGEST_BLOCK_MS);
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    clearTimeout(patience);
    return { code: code ?? -1, output: signal === null ? output.text : `${output.text}\nended by ${signal}` };
  }

  private spawn([command = "", ...args]: string[]): ChildProcess {
    return spawn(command, args, {
      cwd: this.at.folder,
      env: scriptEnvironment({
        ...this.at.env,
        ...this.shellVariables(),
        // As `npm link` does.
        PATH: `${commandFolder()}:${process.env.PATH}`,
        WRANGLER_REGISTRY_PATH: join(this.at.stateDir, "registry"),
        WRANGLER_SEND_METRICS: "false",
        SLUICE_CONFIG: join(this.at.folder, "profile.json"),
        CI: "true",
      }),
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** What the page's shell has set, for its modules. */
  private shellVariables(): Record<string, string> {
    const kept = join(this.at.folder, "shell");
    if (!existsSync(kept)) return {};
    const lines = readFileSync(kept, "utf8").matchAll(/^declare -x ([A-Z][A-Z0-9_]*)="([^"$`\\]*)"$/gm);
    return Object.fromEntries([...lines].map(([, name = "", value = ""]) => [name, value]));
  }

  private write(name: string, text: string): string {
    const file = join(this.at.folder, name);
    writeFileSync(file, text);
    return file;
  }

  private async portOf(named: string): Promise<number> {
    const port = this.ports.get(named) ?? (await freePort());
    this.ports.set(named, port);
    return port;
  }

  /** Ports are the page's own, and Sluice is the test's: pages run side by side. */
  private async withPlaces(text: string): Promise<string> {
    const named = new Set(text.match(OWN_PORT) ?? []);
    for (const port of named) await this.portOf(port);
    return text
      .replaceAll(OWN_PORT, (port) => String(this.ports.get(port)))
      .replaceAll("http://127.0.0.1:8787", this.at.env.URL ?? "")
      .replaceAll(/\.state(?=\/api-key|$)/gm, this.at.stateDir);
  }
}

/** Where the command `sluice` stands by that name. */
function commandFolder(): string {
  const folder = join(root, "test-results/bin");
  mkdirSync(folder, { recursive: true });
  const command = join(folder, "sluice");
  if (!existsSync(command)) symlinkSync(join(root, "dist/sluice.js"), command);
  return folder;
}

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

const literally = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** Every line of `expected` stands in what was printed, in this order. */
export function showsText(printed: string, expected: string): boolean {
  const lines = printed.split("\n").map((line) => line.trimEnd());
  let at = 0;
  return expected
    .trim()
    .split("\n")
    .every((line) => {
      const pattern = new RegExp(`^${line.trimEnd().split("…").map(literally).join(".*")}$`);
      const found = lines.findIndex((candidate, i) => i >= at && pattern.test(candidate));
      at = found + 1;
      return found !== -1;
    });
}

/** The last JSON that was printed has exactly these members; `"…"` stands for any value, and for any further members. */
export function showsJson(printed: string, expected: string): boolean {
  const texts = [printed, ...printed.trim().split("\n").reverse()];
  const last = texts.map(parsed).find((value) => value !== undefined);
  return last !== undefined && isLike(last, JSON.parse(expected));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isLike(actual: unknown, expected: unknown): boolean {
  if (expected === "…") return true;
  if (Array.isArray(expected)) {
    const isOpenEnded = expected.at(-1) === "…";
    const wanted = isOpenEnded ? expected.slice(0, -1) : expected;
    if (!Array.isArray(actual) || (isOpenEnded ? actual.length < wanted.length : actual.length !== wanted.length)) {
      return false;
    }
    return wanted.every((element, i) => isLike(actual[i], element));
  }
  if (typeof expected !== "object" || expected === null) {
    if (typeof expected === "string" && typeof actual === "string") return showsText(actual, expected);
    return actual === expected;
  }
  if (typeof actual !== "object" || actual === null) return false;
  const { "…": more, ...wanted } = expected as Record<string, unknown>;
  const have = actual as Record<string, unknown>;
  const isComplete = more !== undefined || Object.keys(have).every((name) => name in wanted);
  return isComplete && Object.entries(wanted).every(([name, value]) => name in have && isLike(have[name], value));
}
