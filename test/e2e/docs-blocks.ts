import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./harness.ts";

/**
 * The fenced blocks of the README and of the pages under src/docs, each with what is to be done with it. What that is follows
 * from its language, or from a comment on the line before it:
 *
 * | comment | the block |
 * |---|---|
 * | none | `sh`, `js`, `ts`: is run to its end, and exits with 0; `toml`: configures a Worker |
 * | `serves` | stays up behind the blocks that follow; it listens on the port that stands in it |
 * | `worker PORT` | is a Worker's source, with the `toml` block before it as its configuration; stays up as well |
 * | `prints` | is what the block before it printed, or (`text`) what a server prints; `…` stands for anything |
 * | `deploys` | is run with `npx` and `npm` replaced by something that takes their arguments down |
 * | `shows` | is only looked at: a picture of data, not something to be sent or run |
 * | `run by FILE` | is run by that test, which says so |
 * | `not run: REASON` | is not run |
 */
export interface Block {
  /** Relative to the root. */
  page: string;
  /** Of its first line, from 1. */
  line: number;
  language: string;
  kind: Kind;
  /** What stands behind the comment's first word. */
  note: string;
  text: string;
}

export type Kind = "runs" | "serves" | "worker" | "prints" | "deploys" | "shows" | "run by" | "not run";

export interface Page {
  /** Relative to the root. */
  path: string;
  text: string;
  blocks: Block[];
}

/** Anything that looks like code. What has no language is a drawing. */
const LANGUAGES = ["sh", "ts", "js", "json", "toml", "yaml", "text"];
const COMMENT = /^<!-- (serves|worker|prints|deploys|shows|run by|not run:?)(?: (.*))? -->$/;

export function readPages(): Page[] {
  const docs = readdirSync(join(root, "src/docs")).filter((name) => name.endsWith(".md"));
  return ["README.md", ...docs.sort().map((name) => `src/docs/${name}`)].map(readPage);
}

function readPage(path: string): Page {
  const text = readFileSync(join(root, path), "utf8");
  return { path, text, blocks: blocksOf(path, text) };
}

/** @throws Error naming the place where a fence or a comment cannot be understood. */
export function blocksOf(page: string, text: string): Block[] {
  const lines = text.split("\n");
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, indent = "", language = ""] = /^( *)```(\S*)/.exec(lines[i] ?? "") ?? [];
    if (!/^ *```/.test(lines[i] ?? "")) continue;
    const end = lines.findIndex((line, at) => at > i && line.trim() === "```");
    if (end === -1) throw new Error(`${page}:${i + 1}: a block does not end`);
    if (language !== "") {
      if (!LANGUAGES.includes(language)) throw new Error(`${page}:${i + 1}: ${language} is none of ${LANGUAGES}`);
      const body = lines.slice(i + 1, end).map((line) => line.slice(indent.length));
      blocks.push({ page, line: i + 2, language, ...markOf(lines, i, page), text: `${body.join("\n")}\n` });
    }
    i = end;
  }
  return blocks;
}

/** The comment of the block whose fence is line `fence`; a blank line may stand between. */
function markOf(lines: string[], fence: number, page: string): { kind: Kind; note: string } {
  let at = fence - 1;
  while (lines[at]?.trim() === "") at--;
  const above = lines[at]?.trim() ?? "";
  if (!above.startsWith("<!--")) return { kind: "runs", note: "" };
  const [, kind, note = ""] = COMMENT.exec(above) ?? [];
  if (kind === undefined) throw new Error(`${page}:${at + 1}: ${above} says nothing that is known`);
  return { kind: kind.replace(":", "") as Kind, note };
}
