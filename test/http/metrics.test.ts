import { describe, expect, inject, test, vi } from "vitest";
import { ask, newJob, newProject } from "./ask.ts";

/** `GET /metrics`: the text format, and numbers that are those of the runs. */

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const LINE = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (-?[0-9.e+-]+)$/;

/** Reads the text format, and refuses what Prometheus would. */
function parsed(text: string): Sample[] {
  const types = new Map<string, string>();
  const seen = new Set<string>();
  const samples: Sample[] = [];
  let current = "";
  for (const line of text.trimEnd().split("\n")) {
    const [, kind, metric = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      expect(seen.has(metric), `${metric} stands in one place`).toBe(false);
      seen.add(metric);
      current = metric;
    } else if (kind === "TYPE") types.set(metric, rest);
    else {
      const [, name = "", labels = "", value = ""] = LINE.exec(line) ?? [];
      expect(name, line).not.toBe("");
      expect(name.replace(/_(bucket|sum|count)$/, ""), line).toBe(current);
      if (types.get(current) === "counter") expect(current).toMatch(/_total$/);
      const pairs = [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, k, v]) => [k, v]);
      samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value) });
    }
  }
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
