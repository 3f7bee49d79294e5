import { parsed, textOf, valueAt } from "./json-cut.ts";

/**
 * Templates in a step's payload: `{{payload.x}}` and `{{steps.ref.result.x}}`. A string that is one template becomes the
 * value itself, byte for byte, or null where there is none; inside other text a string stands as it is, any other value as
 * JSON, and what is missing as nothing. `\{{` writes `{{`. Only values are filled in, never the names of an object.
 */

/** A path: `payload` or `steps` first. */
export type TemplatePath = readonly string[];

/** Text and paths, in turn. */
type Piece = string | TemplatePath;

export interface TemplateProblem {
  /** Where in the payload, as `[0].name`. */
  at: string;
  message: string;
}

/** A payload with templates, taken apart. */
export interface Template {
  paths: TemplatePath[];
  problems: TemplateProblem[];
}

/** Raw JSON that a path leads into; null where there is none. */
export type Lookup = (path: TemplatePath) => Uint8Array | null;

const MAX_TEMPLATE_DEPTH = 64;
/** Each looks through a value of up to a megabyte. */
export const MAX_PLACEHOLDERS = 200;

const OPEN = "{{";
const CLOSE = "}}";
const NAME = /^[^.[\]{}"\s][^.[\]{}"]*$/;
const INDEX = /^(?:0|[1-9]\d{0,6})$/;

/** `a.b[0].c` as names; null where it is no path. */
export function parsePath(text: string): string[] | null {
  const names = text
    .trim()
    .replaceAll(/\[(\d+)\]/g, ".$1")
    .split(".");
  return names.every((name) => NAME.test(name) || INDEX.test(name)) ? names : null;
}

/** The pieces of a string, or what is wrong with it. */
function piecesOf(text: string): Piece[] | string {
  const pieces: Piece[] = [];
  let plain = "";
  let at = 0;
  for (;;) {
    const open = text.indexOf(OPEN, at);
    if (open === -1) break;
    if (text[open - 1] === "\\" && open > at) {
      plain += text.slice(at, open - 1) + OPEN;
      at = open + OPEN.length;
      continue;
    }
    const close = text.indexOf(CLOSE, open);
    if (close === -1) return `has ${OPEN} without ${CLOSE}; write \\${OPEN} for the braces themselves`;
    const inside = text.slice(open + OPEN.length, close);
    const path = parsePath(inside);
    if (path === null) return `${shown(inside)} is no path such as payload.name or steps.ref.result.name`;
    pieces.push(plain + text.slice(at, open), path);
    plain = "";
    at = close + CLOSE.length;
  }
  pieces.push(plain + text.slice(at));
  return pieces.filter((piece) => piece !== "");
}

const shown = (text: string): string => JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);

/** Every path in a payload, and everything that is no template. */
export function readTemplate(payload: unknown): Template {
  const template: Template = { paths: [], problems: [] };
  const refuse = (at: string, message: string): void => {
    template.problems.push({ at, message });
  };
  const read = (value: unknown, at: string, depth: number): void => {
    if (depth > MAX_TEMPLATE_DEPTH) {
      refuse(at.slice(0, 256), `is nested deeper than ${MAX_TEMPLATE_DEPTH} levels`);
    } else if (typeof value === "string") {
      const pieces = piecesOf(value);
      if (typeof pieces === "string") refuse(at, pieces);
      else template.paths.push(...pieces.filter((piece) => typeof piece !== "string"));
    } else if (Array.isArray(value)) {
      for (const [i, element] of value.entries()) read(element, `${at}[${i}]`, depth + 1);
    } else if (typeof value === "object" && value !== null) {
      for (const [name, field] of Object.entries(value)) read(field, `${at}.${name}`, depth + 1);
    }
  };
  read(payload, "", 0);
  if (template.paths.length > MAX_PLACEHOLDERS) refuse("", `has more than ${MAX_PLACEHOLDERS} templates`);
  return template;
}

/** The text grew beyond what a payload may have. */
export class RenderedTooLarge extends Error {}

/** @throws RenderedTooLarge */
export function bounded(text: string, maxChars: number): string {
  if (text.length > maxChars) throw new RenderedTooLarge(`has more than ${maxChars} characters`);
  return text;
}

/**
 * The payload with every template filled in, as JSON text.
 *
 * @param lookup gives the raw JSON value of a path.
 * @param maxChars of the text.
 * @throws RenderedTooLarge
 */
export function renderTemplate(payload: unknown, lookup: Lookup, maxChars: number): string {
  let text = "";
  const write = (part: string): void => {
    text = bounded(text + part, maxChars);
  };
  const render = (value: unknown): void => {
    if (typeof value === "string") write(renderString(value, lookup, maxChars));
    else if (Array.isArray(value)) {
      write("[");
      value.forEach((element, i) => {
        if (i > 0) write(",");
        render(element);
      });
      write("]");
    } else if (typeof value === "object" && value !== null) {
      write("{");
      Object.entries(value).forEach(([name, field], i) => {
        write(`${i > 0 ? "," : ""}${JSON.stringify(name)}:`);
        render(field);
      });
      write("}");
    } else write(JSON.stringify(value));
  };
  render(payload);
  return text;
}

function renderString(text: string, lookup: Lookup, maxChars: number): string {
  const pieces = piecesOf(text);
  if (typeof pieces === "string") throw new Error(`a template was never checked: ${pieces}`);
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined && typeof only !== "string") {
    const value = lookup(only);
    return value === null ? "null" : textOf(value, 0, value.length);
  }
  let filled = "";
  for (const piece of pieces) {
    filled = bounded(filled + (typeof piece === "string" ? piece : asText(lookup(piece))), maxChars);
  }
  return JSON.stringify(filled);
}

function asText(value: Uint8Array | null): string {
  if (value === null) return "";
  if (value[0] === 0x22) return parsed(value, 0, value.length) as string;
  const text = textOf(value, 0, value.length);
  return text === "null" ? "" : text;
}

/** The raw value at a path inside raw JSON, without the white space around it; null where there is none. */
export function rawAt(json: Uint8Array, path: readonly string[]): Uint8Array | null {
  let from = 0;
  let to = json.length;
  const isSpace = (i: number) => json[i] === 0x20 || json[i] === 0x0a || json[i] === 0x0d || json[i] === 0x09;
  while (from < to && isSpace(from)) from++;
  while (to > from && isSpace(to - 1)) to--;
  const found = valueAt(json, from, to, path);
  return found === null ? null : json.subarray(found.from, found.to);
}
