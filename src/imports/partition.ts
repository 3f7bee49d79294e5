import { isNestedDeeper } from "../domain/nesting.ts";
import { utf8Length } from "../domain/text-blocks.ts";

export interface PartitionRules {
  maxRows: number;
  /** Of the rows' own time. */
  maxSpanMs: number;
  /** Bytes that all of the payload may have. */
  maxBytes: number;
  /** Levels that all of the payload may have. */
  maxDepth: number;
}

/** A row stands in a list, in an object. */
const OUTER_LEVELS = 2;

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

  /** Why the row fits no partition at all: in one it would cost all others their delivery. */
  misfit(row: string, overhead: number): string | null {
    const { maxBytes, maxDepth } = this.rules;
    if (utf8Length(row) + overhead > maxBytes) return `is larger than a payload may be (${maxBytes} bytes)`;
    const levels = maxDepth - OUTER_LEVELS;
    return isNestedDeeper(row, levels) ? `is nested deeper than ${levels} levels` : null;
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
