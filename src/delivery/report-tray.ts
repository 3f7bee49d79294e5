import type { CallReport } from "../coordinator/protocol.ts";

/** The results of one exchange, in UTF-8 bytes; a single result is always smaller. */
export const MAX_EXCHANGE_BYTES = 8 * 1024 * 1024;

/** Below this length a text's worst case stands for its size: measuring costs more than it saves. */
const SMALL = 4096;
const encoder = new TextEncoder();

function textBytes(text: string | null | undefined): number {
  if (!text) return 0;
  return text.length <= SMALL ? 3 * text.length : encoder.encode(text).length;
}

function reportBytes({ outcome }: CallReport): number {
  if (outcome.kind === "response") return textBytes(outcome.result) + textBytes(outcome.excerpt);
  return 0;
}

/** Reports that wait for the next exchange, in the order of their arrival. */
export class ReportTray {
  #reports: CallReport[] = [];
  #oldestAt: number | null = null;

  get size(): number {
    return this.#reports.length;
  }

  /** Since when the oldest report waits, Unix ms; null when none does. */
  get oldestAt(): number | null {
    return this.#oldestAt;
  }

  put(report: CallReport, now: number): void {
    this.#reports.push(report);
    this.#oldestAt ??= now;
  }

  /** Takes out as many as one exchange may carry, at least one. The rest waits from `now`. */
  take(now: number): CallReport[] {
    let bytes = 0;
    const beyond = this.#reports.findIndex((report, i) => {
      bytes += reportBytes(report);
      return i > 0 && bytes > MAX_EXCHANGE_BYTES;
    });
    const taken = beyond < 0 ? this.#reports : this.#reports.slice(0, beyond);
    this.#reports = beyond < 0 ? [] : this.#reports.slice(beyond);
    this.#oldestAt = this.#reports.length > 0 ? now : null;
    return taken;
  }
}
