import { describe, expect, test } from "vitest";
import { ConditionError, readCondition } from "../../src/domain/condition.ts";
import { MAX_STEPS } from "../../src/domain/workflow.ts";
import { type NewStep, stepsRead, workflowProblems } from "../../src/domain/workflow-rules.ts";

const step = (step_ref: string, more: Partial<NewStep> = {}): NewStep => ({
  step_ref,
  job: "a-job",
  depends_on: [],
  payload: null,
  condition: null,
  on_failure: "fail_workflow",
  sleep_secs: 0,
  ...more,
});

const DIAMOND = [
  step("a"),
  step("b", { depends_on: ["a"] }),
  step("c", { depends_on: ["a"] }),
  step("d", { depends_on: ["b", "c"] }),
];

describe("the steps of a workflow", () => {
  test("may read what comes before them, directly or not", () => {
    const d = step("d", {
      depends_on: ["b", "c"],
      payload: { a: "{{steps.a.result.x}}", s: "{{steps.b.status}} {{steps.c.error.message}} {{payload.y}}" },
      condition: 'steps.a.result.ok && steps["b"].status == "completed"',
    });
    expect(workflowProblems([...DIAMOND.slice(0, 3), d])).toEqual([]);
    expect(stepsRead(d).sort()).toEqual(["a", "b", "c"]);
  });

  test.each<[Partial<NewStep>, string, string]>([
    [{ payload: "{{steps.c.result}}" }, "steps[1].payload", 'reads "c", which "b" does not depend on'],
    [{ payload: "{{steps.b.result}}" }, "steps[1].payload", 'reads "b", which "b" does not depend on'],
    [{ payload: "{{steps.x.result}}" }, "steps[1].payload", '"x" is no step of this workflow'],
    [{ payload: "{{steps.a}}" }, "steps[1].payload", "must name one of result"],
    [{ payload: "{{steps.a.output}}" }, "steps[1].payload", "must name one of result"],
    [{ payload: "{{steps}}" }, "steps[1].payload", "must name a step"],
    [{ payload: "{{user.id}}" }, "steps[1].payload", "must begin with payload or steps"],
    [{ payload: { list: [0, "{{payload.x"] } }, "steps[1].payload.list[1]", "has {{ without }}"],
    [{ condition: "steps.c.result.ok" }, "steps[1].condition", 'reads "c", which "b" does not depend on'],
    [{ condition: "steps.x.result.ok" }, "steps[1].condition", '"x" is no step of this workflow'],
    [{ condition: "payload.n >" }, "steps[1].condition", "is no condition"],
    [{ condition: "user.ok" }, "steps[1].condition", "Unknown variable: user"],
    [{ condition: "1 + 1" }, "steps[1].condition", "must come to true or false"],
  ])("are refused where they read what is not there: %j", (more, path, message) => {
    const problems = workflowProblems([
      DIAMOND[0] as NewStep,
      step("b", { depends_on: ["a"], ...more }),
      ...DIAMOND.slice(2),
    ]);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.path).toBe(path);
    expect(problems[0]?.message).toContain(message);
  });

  test("are all judged at once, also beside a broken graph", () => {
    const problems = workflowProblems([
      step("a", { depends_on: ["b"], condition: "payload.n >" }),
      step("b", { depends_on: ["a"], payload: "{{steps.nope.result}}" }),
    ]);
    expect(problems.map((p) => p.path)).toEqual(["steps[0].depends_on", "steps[0].condition", "steps[1].payload"]);
  });

  test("may be a thousand, one behind the other or all behind one", () => {
    const line = Array.from({ length: MAX_STEPS }, (_, i) =>
      step(`s${i}`, i === 0 ? {} : { depends_on: [`s${i - 1}`], payload: "{{steps.s0.result}}" }),
    );
    expect(workflowProblems(line)).toEqual([]);
    const fan = Array.from({ length: MAX_STEPS }, (_, i) => step(`s${i}`, i === 0 ? {} : { depends_on: ["s0"] }));
    expect(workflowProblems(fan)).toEqual([]);
  });
});

describe("a condition", () => {
  const facts = {
    payload: JSON.parse(
      '{"n":5,"x":5.5,"big":12345678901234567890,"s":"abc","list":[1,2,3],"nil":null,"constructor":1}',
    ),
    steps: {
      a: { status: "completed", run_id: "r", result: { ok: true, items: [{ p: 1.5 }, { p: 2 }] }, error: null },
    },
  };
  const holds = (text: string): boolean => {
    const condition = readCondition(text);
    if (typeof condition === "string") throw new Error(condition);
    return condition.holds(facts);
  };

  test.each([
    ["payload.n == 5", true],
    ["payload.n % 2 == 0", false],
    ["payload.x > 5 && payload.n < 5.5", true],
    ["payload.big > 1000000.0", true],
    ["payload.nil == null", true],
    ["has(payload.absent)", false],
    ["has(payload.absent) && payload.absent.x == 1", false],
    ["steps.a.result.ok", true],
    ['steps["a"].status == "completed"', true],
    ["steps.a.result.items.exists(i, i.p == 1.5)", true],
    ["payload.list.filter(i, i > 1).map(i, i * 2) == [4, 6]", true],
    ["size(payload.list) == 3 && 3 in payload.list", true],
    ['payload.s.matches("^a.c$") && payload.s.startsWith("a")', true],
    ['timestamp("2026-01-01T00:00:00Z") < timestamp("2027-01-01T00:00:00Z")', true],
  ])("%s", (text, expected) => expect(holds(text)).toBe(expected));

  test.each([
    ["payload.absent == 1", "No such key: absent"],
    ["payload.n", "did not come to true or false"],
    ["payload.n + payload.x > 1", "no such overload"],
  ])("that cannot be answered says why: %s", (text, message) => {
    expect(() => holds(text)).toThrow(ConditionError);
    expect(() => holds(text)).toThrow(message);
  });

  test.each([
    ["payload.list.all(x, payload.list.exists(y, x == y))", "inside of another loop"],
    ["cel.bind(x, payload.n, x == 1)", "bind()"],
    ['payload.s.split("") == []', "split()"],
    ['["a"].join() == "a"', "join()"],
    ["steps[payload.s].result == 1", "must name a step behind steps"],
    [`${"(".repeat(50)}true${")".repeat(50)}`, "is no condition"],
  ])("that could cost too much is refused: %s", (text, message) => expect(readCondition(text)).toContain(message));

  test.each(["payload.constructor == 1", 'payload["constructor"] == 1', 'steps.constructor.status == "completed"'])(
    "that reads what the interpreter hides is refused: %s",
    (text) => expect(readCondition(text)).toContain("reads a field named constructor"),
  );

  test("is short, and has few parts", () => {
    expect(readCondition(`"${"x".repeat(5_000)}" == payload.s`)).toContain("is longer than");
    expect(readCondition(Array(600).fill("1<2").join("||"))).toContain("is no condition");
  });

  test("runs expressions in linear time, and reads no more than it may", () => {
    const hostile = { payload: { s: `${"a".repeat(50_000)}!`, list: Array(200_000).fill(1) }, steps: {} };
    const evil = readCondition('payload.s.matches("^(a+)+$") || [payload.s].exists(s, s.matches("(a*)*b"))');
    if (typeof evil === "string") throw new Error(evil);
    expect(evil.holds(hostile)).toBe(false);
    const greedy = readCondition("payload.list.all(i, i == 1)");
    if (typeof greedy === "string") throw new Error(greedy);
    expect(() => greedy.holds(hostile)).toThrow("reads too much");
  });
});
