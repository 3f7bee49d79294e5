/**
 * What the coordinators of this isolate have cost since it started: the platform bills rows, messages and calls. Only
 * development reads it (`GET /__dev/counters`, for the benchmark).
 */
export const bill = {
  /** Index entries included. */
  ledger_rows_written: 0,
  /** By the projection; index entries included. */
  d1_rows_written: 0,
  tickets_sent: 0,
  /** Transactions: calls that changed something, alarms, and arrivals of the copy. */
  coordinator_calls: 0,
  /** Reports taken in. */
  runs_finished: 0,
};
