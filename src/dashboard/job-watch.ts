import { useEffect, useState } from "preact/hooks";
import type { Answer, Job } from "../client/client.ts";
import { api } from "./polling.ts";
import { session } from "./session.ts";

export type JobHealth = Answer<"GET /v1/jobs/{job}/health">;

/** Jobs at work are asked often, the others seldom: an answer wakes the job's coordinator. */
const BUSY_MS = 2000;
const IDLE_MS = 15_000;
const AT_ONCE = 4;
const LOOK_MS = 250;

export const pauseAfter = (health: JobHealth | null): number =>
  health !== null && health.waiting + health.executing > 0 ? BUSY_MS : IDLE_MS;

/** The numbers of several jobs, a few of them asked at a time while the tab is seen. */
export function useHealths(jobs: readonly Job[] | null): Readonly<Record<string, JobHealth>> {
  const [known, setKnown] = useState<Record<string, JobHealth>>({});
  const ids = (jobs ?? []).map(({ id }) => id).join();
  useEffect(() => {
    const due = new Map(ids.split(",").flatMap((id) => (id === "" ? [] : [[id, 0] as [string, number]])));
    let asking = 0;
    let isOver = false;
    const ask = async (id: string): Promise<void> => {
      asking += 1;
      due.set(id, Number.POSITIVE_INFINITY);
      let health: JobHealth | null = null;
      try {
        health = await api().jobs.health(id);
        const answer = health;
        if (!isOver) setKnown((was) => ({ ...was, [id]: answer }));
      } catch {
        // A job that was deleted leaves the list; what else is wrong, the list says.
      }
      asking -= 1;
      due.set(id, performance.now() + pauseAfter(health));
      if (!isOver) look();
    };
    const look = (): void => {
      if (document.hidden || session.value === null) return;
      for (const [id, at] of due) if (asking < AT_ONCE && at <= performance.now()) void ask(id);
    };
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [ids]);
  return known;
}
