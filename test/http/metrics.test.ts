import { describe, expect, inject, test, vi } from "vitest";
import { ask, newJob, newProject } from "./ask.ts";

/** `GET /metrics`: the text format, and numbers that are those of the runs. */

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const LINE = /^([^\s{]+)(?:\{((?:[^"}]|"(?:[^"\\]|\\[\\n"])*")*)\})? (\S+)$/;
const PAIR = /([^=,]+)="((?:[^"\\]|\\[\\n"])*)"(?:,|$)/y;
const VALUE = /^([+-]?Inf|NaN|[+-]?\d+(\.\d+)?(e[+-]?\d+)?)$/;
const SUFFIXES: Record<string, string[]> = { counter: [""], gauge: [""], histogram: ["_bucket", "_sum", "_count"] };

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  PAIR.lastIndex = 0;
  while (PAIR.lastIndex < text.length) {
    const [, name = "", value = ""] = PAIR.exec(text) ?? expect.fail(`labels: ${text}`);
    expect(name).toMatch(LABEL);
    expect(name.startsWith("__"), name).toBe(false);
    expect(labels, text).not.toHaveProperty([name]);
    labels[name] = value.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
  }
  return labels;
}

/**
 * Reads the text format, and refuses what Prometheus would or `promtool check metrics` finds fault with: a metric without
 * help, or in two places; a series twice; counters without `_total`, and others with it; a unit that is no base unit.
 */
function parsed(text: string): Sample[] {
  expect(text.endsWith("\n")).toBe(true);
  const seen = new Set<string>();
  const series = new Set<string>();
  const samples: Sample[] = [];
  let current = { name: "", type: "" };
  for (const line of text.slice(0, -1).split("\n")) {
    const [, kind, metric = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      expect(metric).toMatch(NAME);
      expect(seen.has(metric), `${metric} stands in one place`).toBe(false);
      expect(metric).not.toMatch(/_(milliseconds|ms|minutes|hours|kilobytes|count|sum|bucket)$/);
      seen.add(metric);
      current = { name: metric, type: "" };
    } else if (kind === "TYPE") {
      expect({ metric, type: current.type }).toEqual({ metric: current.name, type: "" });
      expect(Object.keys(SUFFIXES)).toContain(rest);
      current.type = rest;
      expect(metric.endsWith("_total")).toBe(rest === "counter");
    } else {
      const [, name = "", labels = "", value = ""] = LINE.exec(line) ?? expect.fail(`no sample: ${line}`);
      expect((SUFFIXES[current.type] ?? []).map((suffix) => current.name + suffix)).toContain(name);
      expect(value).toMatch(VALUE);
      const sample = { name, labels: labelsOf(labels), value: Number(value) };
      expect("le" in sample.labels).toBe(name.endsWith("_bucket"));
      const which = `${name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
      expect(series.has(which), `${which} once`).toBe(false);
      series.add(which);
      samples.push(sample);
    }
  }
  expect(samples.filter(({ name, value }) => name.endsWith("_total") && value < 0)).toEqual([]);
  return samples;
}

describe("metrics", () => {
  test("are for the admin alone", async () => {
    const { key } = await newProject();
    expect((await ask("GET", "/metrics", { key })).status).toBe(403);
    expect((await ask("GET", "/metrics", { key: null })).status).toBe(401);
  });

  test("count what was called, what became of it, and how long it took", async () => {
    const { key, slug } = await newProject();
    const endpoint = inject("endpointUrl");
    const good = await newJob(key, { name: "Good", endpoint_url: `${endpoint}/ok`, slug: "good" });
    const bad = await newJob(key, {
      ...{ name: "Bad", slug: "bad", endpoint_url: `${endpoint}/status/500`, max_attempts: 2 },
      ...{ retry_strategy: "fixed", retry_base_secs: 0 },
    });
    const items = Array.from({ length: 7 }, (_, i) => ({ payload: i }));
    await ask("POST", `/v1/jobs/${good.id}/trigger-bulk`, { key, body: { items } });
    await ask("POST", `/v1/jobs/${bad.id}/trigger-bulk`, { key, body: { items: items.slice(0, 3) } });
    await ask("POST", `/v1/jobs/${good.id}/trigger`, { key, body: { scheduled_at: "2999-01-01T00:00:00Z" } }).then(
      (a) => expect(a.status).toBe(422),
    );
    const later = new Date(Date.now() + 3_600_000).toISOString();
    await ask("POST", `/v1/jobs/${good.id}/trigger`, { key, body: { scheduled_at: later } });

    const ofJob = (samples: Sample[], job: string, name: string) =>
      samples.filter((s) => s.name === name && s.labels.project === slug && s.labels.job === job);
    const one = (samples: Sample[], job: string, name: string, labels: Record<string, string> = {}) =>
      ofJob(samples, job, name).find((s) => Object.entries(labels).every(([k, v]) => s.labels[k] === v))?.value;
    const samples = await vi.waitFor(
      async () => {
        const answer = await ask("GET", "/metrics");
        expect(answer.headers.get("Content-Type")).toMatch(/^text\/plain; version=0\.0\.4/);
        const found = parsed(answer.body);
        expect(one(found, "good", "sluice_runs_finished_total", { status: "completed" })).toBe(7);
        expect(one(found, "bad", "sluice_runs_finished_total", { status: "failed" })).toBe(3);
        return found;
      },
      { timeout: 25_000, interval: 200 },
    );
    expect(one(samples, "good", "sluice_calls_started_total")).toBe(7);
    expect(one(samples, "bad", "sluice_calls_started_total")).toBe(6);
    expect(one(samples, "good", "sluice_runs_waiting")).toBe(1);
    expect(one(samples, "good", "sluice_runs_executing")).toBe(0);
    expect(one(samples, "good", "sluice_run_wait_seconds_count")).toBe(7);
    expect(one(samples, "bad", "sluice_call_duration_seconds_count")).toBe(6);
    for (const name of ["sluice_run_wait_seconds", "sluice_call_duration_seconds"]) {
      const buckets = ofJob(samples, "bad", `${name}_bucket`);
      const values = buckets.map((s) => s.value);
      expect(values).toEqual([...values].sort((a, b) => a - b));
      expect(buckets.at(-1)).toMatchObject({ labels: { le: "+Inf" }, value: one(samples, "bad", `${name}_count`) });
    }
  });
});
