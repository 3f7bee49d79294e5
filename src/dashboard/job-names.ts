import { signal } from "@preact/signals";
import { SluiceError } from "../client/client.ts";
import { api } from "./polling.ts";
import { session } from "./session.ts";

/** Jobs by their names: runs and batches know the id alone. */

const names = signal<Readonly<Record<string, string>>>({});
const asked = new Set<string>();

/** The key's owner has changed: so may everything. */
session.subscribe((current) => {
  if (current !== null) return;
  names.value = {};
  asked.clear();
});

/** Also when it was renamed. */
export function learnJobs(jobs: readonly { id: string; name: string }[]): void {
  const isNews = jobs.some(({ id, name }) => names.value[id] !== name);
  if (isNews) names.value = { ...names.value, ...Object.fromEntries(jobs.map(({ id, name }) => [id, name])) };
}

/** Its name; null while it is not known. */
export function nameOfJob(id: string): string | null {
  const known = names.value[id];
  if (known !== undefined) return known;
  if (!asked.has(id)) {
    asked.add(id);
    void ask(id);
  }
  return null;
}

async function ask(id: string): Promise<void> {
  try {
    learnJobs([await api().call("GET /v1/jobs/{job}", { params: { job: id } })]);
  } catch (error) {
    if (error instanceof SluiceError && error.status === 404) learnJobs([{ id, name: "deleted job" }]);
    // What the key may not know it will not be told the next time either.
    else if (!(error instanceof SluiceError && error.status === 403)) asked.delete(id);
  }
}
