import { utf8Length } from "../domain/text-blocks.ts";

export interface PartitionRules {
  maxRows: number;
  /** Of the rows' own time. */
  maxSpanMs: number;
  /** Bytes that all of the payload may have. */
  maxBytes: number;
}

/** Rejects that may come between the rows of one partition, in characters: they are kept until it closes. */
const MAX_REJECT_CHARS = 1024 * 1024;

/**
 * Gathers rows until the partition is full. Where it closes depends on nothing but the rows: whoever reads them anew cuts
 * the same partitions.
 */
export class Partition {
  rows: string[] = [];
  /** Of its first row. */
  line = 0;
  offset = 0;
  private bytes = 0;
  private rejectChars = 0;
  private earliestMs: number | null = null;
  private latestMs: number | null = null;
  private readonly rules: PartitionRules;

  constructor(rules: PartitionRules) {
    this.rules = rules;
  }

  get isEmpty(): boolean {
    return this.rows.length === 0;
  }

  /** Whether the row fits a partition at all. */
  fits(row: string, overhead: number): boolean {
    return utf8Length(row) + overhead <= this.rules.maxBytes;
  }

  /** Whether the partition must close before the row. */
  isFullFor(row: string, primaryMs: number | null, overhead: number): boolean {
    if (this.isEmpty) return false;
    if (this.bytes + utf8Length(row) + 1 + overhead > this.rules.maxBytes) return true;
    if (primaryMs === null || this.earliestMs === null || this.latestMs === null) return false;
    return Math.max(this.latestMs, primaryMs) - Math.min(this.earliestMs, primaryMs) >= this.rules.maxSpanMs;
  }

  add(row: string, primaryMs: number | null): void {
    this.bytes += utf8Length(row) + (this.isEmpty ? 0 : 1);
    this.rows.push(row);
    if (primaryMs === null) return;
    this.earliestMs = Math.min(this.earliestMs ?? primaryMs, primaryMs);
    this.latestMs = Math.max(this.latestMs ?? primaryMs, primaryMs);
  }

  rejected(chars: number): void {
    if (!this.isEmpty) this.rejectChars += chars;
  }

  /** It must close behind the row at hand. */
  get isFull(): boolean {
    return this.rows.length >= this.rules.maxRows || this.rejectChars > MAX_REJECT_CHARS;
  }

  clear(): void {
    this.rows = [];
    this.bytes = 0;
    this.rejectChars = 0;
    this.earliestMs = null;
    this.latestMs = null;
  }
}
