import { TypeError as CelTypeError, Environment, EvaluationError, ParseError } from "@marcbachmann/cel-js";
import { compilePattern } from "./payload-schema.ts";

/**
 * Conditions of steps: the Common Expression Language over `payload` and `steps`, interpreted and bounded. The functions are
 * those of the language's standard, but for those that grow what they are given; `matches` runs on RE2. Numbers of JSON
 * without a fraction are int, others double.
 */

export const MAX_CONDITION_CHARS = 4_096;
/** Values read from `payload` and `steps` in one evaluation; long texts count as several. */
const MAX_READS = 100_000;
const CHARS_A_READ = 64;

const LIMITS = { maxAstNodes: 500, maxDepth: 32, maxListElements: 100, maxMapEntries: 100, maxCallArguments: 8 };

const LOOPS = ["all", "exists", "exists_one", "map", "filter"];
const FUNCTIONS = new Set([
  ...["has", "size", "type", "dyn", "bool", "int", "uint", "double", "string", "timestamp", "duration"],
  ...["startsWith", "endsWith", "contains", "matches", "lowerAscii", "upperAscii", "trim"],
  ...["indexOf", "lastIndexOf", "substring"],
  ...["getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds"],
  ...["getMinutes", "getMonth", "getSeconds"],
  ...LOOPS,
]);

/** The interpreter asks every value for this name itself. */
const UNREADABLE = "constructor";

/** What stands for `matches`, whose own implementation can take exponential time. */
const LINEAR_MATCHES = "matchesLinear";

const language = new Environment({ limits: LIMITS })
  .registerVariable("payload", "dyn")
  .registerVariable("steps", "dyn")
  .registerFunction(`string.${LINEAR_MATCHES}(string): bool`, (text: string, pattern: string) =>
    compilePattern(pattern).matcher(text).find(),
  );

/** A node of the library's syntax tree. */
interface Node {
  op: string;
  args: unknown;
}

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && "op" in value;

function childrenOf(node: Node): Node[] {
  const flat = Array.isArray(node.args) ? node.args.flat(2) : [node.args];
  return flat.filter(isNode);
}

/** A condition that may be evaluated. */
export interface Condition {
  /** The steps that it reads. */
  refs: string[];
  /**
   * @throws ConditionError where it does not come to true or false.
   */
  holds(facts: ConditionFacts): boolean;
}

export interface ConditionFacts {
  payload: unknown;
  /** By step_ref; each `{status, run_id, result, error}`. */
  steps: Record<string, unknown>;
}

export class ConditionError extends Error {}

/** Reads an expression, or says what is wrong with it. */
export function readCondition(text: string): Condition | string {
  if (text.length > MAX_CONDITION_CHARS) return `is longer than ${MAX_CONDITION_CHARS} characters`;
  try {
    const expression = language.parse(text);
    const refs = new Set<string>();
    const problem = review(expression.ast, refs, false);
    if (problem !== null) return problem;
    const { valid, type, error } = expression.check();
    if (!valid) return `is no condition: ${summaryOf(error)}`;
    if (type !== "bool" && type !== "dyn") return `must come to true or false, not to ${type}`;
    return { refs: [...refs], holds: (facts) => evaluate(expression, facts) };
  } catch (error) {
    return `is no condition: ${summaryOf(error)}`;
  }
}

function summaryOf(error: unknown): string {
  const isOurs = error instanceof ParseError || error instanceof EvaluationError || error instanceof CelTypeError;
  return isOurs ? error.summary : error instanceof Error ? error.message : String(error);
}

/** Finds the steps that an expression reads, and what it may not use. `matches` is exchanged on the way. */
function review(node: Node, refs: Set<string>, inLoop: boolean): string | null {
  const name = calledName(node);
  if (name !== null && !FUNCTIONS.has(name)) return `uses ${name}(), which conditions do not have`;
  const isLoop = name !== null && LOOPS.includes(name);
  if (isLoop && inLoop) return `uses ${name}() inside of another loop`;
  if (name === "matches") rename(node, LINEAR_MATCHES);
  if (memberOf(node) === UNREADABLE) return `reads a field named ${UNREADABLE}, which conditions cannot`;
  const ref = stepOf(node);
  if (ref !== null) {
    refs.add(ref);
    return null;
  }
  if (node.op === "id" && node.args === "steps") return 'must name a step behind steps, as steps.ref or steps["ref"]';
  const [receiver] = Array.isArray(node.args) ? node.args.filter(isNode) : [];
  for (const child of childrenOf(node)) {
    // A loop over the outcome of a loop is one behind the other.
    const problem = review(child, refs, inLoop || (isLoop && child !== receiver));
    if (problem !== null) return problem;
  }
  return null;
}

function calledName(node: Node): string | null {
  if (node.op !== "call" && node.op !== "rcall") return null;
  const [name] = node.args as [unknown];
  return typeof name === "string" ? name : null;
}

function rename(node: Node, name: string): void {
  (node.args as unknown[])[0] = name;
}

/** The name in `of.name` and `of["name"]`. */
function memberOf(node: Node): string | null {
  if (node.op !== "." && node.op !== "[]") return null;
  const [, name] = node.args as [unknown, unknown];
  if (node.op === ".") return typeof name === "string" ? name : null;
  return isNode(name) && name.op === "value" && typeof name.args === "string" ? name.args : null;
}

/** `steps.ref` and `steps["ref"]`. */
function stepOf(node: Node): string | null {
  const name = memberOf(node);
  if (name === null) return null;
  const [of] = node.args as [unknown];
  return isNode(of) && of.op === "id" && of.args === "steps" ? name : null;
}

function evaluate(expression: (context: Record<string, unknown>) => unknown, facts: ConditionFacts): boolean {
  const reader = new Reader();
  let value: unknown;
  try {
    value = expression({ payload: reader.valueOf(facts.payload), steps: reader.valueOf(facts.steps) });
  } catch (error) {
    throw error instanceof ConditionError ? error : new ConditionError(summaryOf(error));
  }
  if (typeof value !== "boolean") throw new ConditionError("did not come to true or false");
  return value;
}

/** Hands JSON to the language as its own values, piece by piece, and counts: an expression reads so much and no more. */
class Reader {
  private reads = 0;

  valueOf(value: unknown): unknown {
    this.count(typeof value === "string" ? 1 + value.length / CHARS_A_READ : 1);
    if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : value;
    if (typeof value !== "object" || value === null) return value;
    return new Proxy(value, {
      get: (target, name) => {
        // By its constructor the interpreter tells a map from a list, whatever fields it has.
        if (name === "constructor") return Array.isArray(target) ? Array : Object;
        const inside: unknown = Reflect.get(target, name);
        const isMember = typeof name === "string" && Object.hasOwn(target, name);
        return isMember && !(Array.isArray(target) && name === "length") ? this.valueOf(inside) : inside;
      },
      ownKeys: (target) => {
        const keys = Reflect.ownKeys(target);
        this.count(keys.length);
        return keys;
      },
    });
  }

  private count(reads: number): void {
    this.reads += reads;
    if (this.reads > MAX_READS) throw new ConditionError("reads too much: it may look at some 100,000 values");
  }
}
