/** The five workloads that every queue was measured with; W2 is start latency and stands in latency.ts. */
export interface Workload {
  name: string;
  /** Of one item. */
  what: string;
  count: number;
  /** Path of the endpoint. */
  path: string;
  /** Milliseconds each call takes at the endpoint. */
  callMs: number;
  keys: number;
  job: Record<string, unknown>;
}

export const CONCURRENCY = 50;

const job = { max_concurrency: CONCURRENCY };

export const W1: Workload = {
  ...{ name: "W1", what: "0 ms", count: 10_000, path: "/ok", callMs: 0, keys: 0 },
  job,
};

export const W3: Workload = {
  ...{ name: "W3", what: "50 ms", count: 2_000, path: "/ok?ms=50", callMs: 50, keys: 0 },
  job,
};

export const W4: Workload = {
  ...{ name: "W4", what: "every 10th fails once", count: 2_000, path: "/tenth", callMs: 0, keys: 0 },
  job: { ...job, retry_strategy: "custom", retry_delays_secs: [0] },
};

export const W5: Workload = {
  ...{
    name: "W5",
    what: "20 ms, 100 keys, 1 a key",
    count: 2_000,
    path: "/ok?ms=20&key=1",
    callMs: 20,
    keys: 100,
  },
  job: { ...job, max_concurrency_per_key: 1 },
};

export const describeLoad = ({ what }: Workload, count: number): string => `${count.toLocaleString("en")} × ${what}`;
