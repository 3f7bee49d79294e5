import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

/** One call as the endpoint saw it. Times are Unix milliseconds with a fraction. */
export interface RecordedCall {
  job: string;
  run: string;
  attempt: number;
  fallback: boolean;
  batch: string;
  index: number;
  /** When its head had arrived. */
  began: number;
  /** When it was answered, or its connection was gone; null while it is in flight. */
  ended: number | null;
  /** What was answered; null where nothing was. */
  status: number | null;
  /** When Sluice says that it began the call; Unix milliseconds. Absent where nobody asked it, or it tells only of another. */
  started?: number;
}

export interface RecordingEndpoint {
  url: string;
  calls(job?: string): Promise<RecordedCall[]>;
  /** Calls so far, of all jobs and of one, and how many of that one's are in flight. */
  count(job?: string): Promise<{ calls: number; of_job: number; in_flight: number }>;
  /** Answers the calls of a job that hang. */
  release(job: string): Promise<void>;
  stop(): Promise<void>;
}

export async function startRecording(): Promise<RecordingEndpoint> {
  const thread = new Worker(join(import.meta.dirname, "recording-server.ts"), { execArgv: [] });
  const [port] = (await once(thread, "message")) as [number];
  const url = `http://127.0.0.1:${port}`;
  const get = async <T>(path: string): Promise<T> => (await (await fetch(url + path)).json()) as T;
  return {
    url,
    calls: (job) => get(job === undefined ? "/__calls" : `/__calls?job=${job}`),
    count: (job = "") => get(`/__count?job=${job}`),
    release: async (job) => {
      await get(`/__release?job=${job}`);
    },
    stop: async () => {
      await thread.terminate();
    },
  };
}
