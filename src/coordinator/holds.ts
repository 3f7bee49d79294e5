import { Agenda } from "./agenda.ts";
import type { Ledger } from "./ledger.ts";

/** Holds that are over and leave with each new one. */
const FORGOTTEN_AT_ONCE = 50;

/**
 * Until when (Unix ms) the endpoint asked to be left alone: in the whole job, or in partitions of its limits. There may be as
 * many as there are partitions, so each is a row of its own.
 */
export class Holds {
  private readonly ends = new Map<string, number>();
  private readonly order = new Agenda<string>();
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
    for (const { scope, until } of ledger.all("SELECT scope, until FROM holds")) {
      this.remember(scope as string, until as number);
    }
  }

  /** 0: it is not held. */
  until(scope: string): number {
    return this.ends.get(scope) ?? 0;
  }

  /** Of several holds of one scope the longest counts. */
  extend(scope: string, until: number, now: number): void {
    this.forget(now);
    if (until <= this.until(scope)) return;
    this.remember(scope, until);
    this.ledger.run(
      "INSERT INTO holds VALUES (?, ?) ON CONFLICT (scope) DO UPDATE SET until = excluded.until",
      scope,
      until,
    );
  }

  /** Nobody is left alone any more. */
  clear(): void {
    for (const scope of this.ends.keys()) this.order.delete(scope);
    this.ends.clear();
    this.ledger.run("DELETE FROM holds");
  }

  private remember(scope: string, until: number): void {
    this.ends.set(scope, until);
    this.order.set(scope, until);
  }

  private forget(now: number): void {
    let left = FORGOTTEN_AT_ONCE;
    for (const scope of this.order.due(now)) {
      this.ends.delete(scope);
      this.ledger.run("DELETE FROM holds WHERE scope = ?", scope);
      if (--left === 0) return;
    }
  }
}
