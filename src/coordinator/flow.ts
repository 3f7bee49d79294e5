import { Heads } from "./heads.ts";
import type { Blocker } from "./scheduler.ts";
import type { Line } from "./turns.ts";

/** Runs of equal (priority, key, batch, limits). */
export interface Flow {
  readonly id: number;
  readonly priority: number;
  readonly key: string | null;
  readonly batch: number | null;
  /** JSON of the named limits the runs draw from; null: every one of the job's. */
  readonly limits: string | null;
  readonly line: Line;
  /** Runs waiting here, those in unread pages included. */
  count: number;
  /** Retries, returned leases and runs that have become due. They go before the backlog. */
  heads: Heads | null;
  page: number[];
  position: number;
  /** The page's key in the ledger, or null where none is loaded. */
  pageOrd: number | null;
  /** Pages not yet loaded may stand in the ledger. */
  hasMore: boolean;
  parkedOn: Blocker | null;
  /** It stands for those that are parked there. */
  wokenBy: Blocker | null;
  /** Stands among those that may go. */
  listed: boolean;
  /** Its place among the flows of its line, where it stands. */
  slot: number;
}

/** The ledger's side: reads the next page of a flow, and forgets one that has been used up. */
export interface Backlog {
  /** `n` is what the page row counts; `seqs` the runs in it that still wait there. */
  nextPage(flow: number): { ord: number; n: number; seqs: number[] } | null;
  dropPage(flow: number, ord: number): void;
  dropHead(flow: number, seq: number): void;
  /** The flow holds nothing any more. */
  emptied(flow: Flow): void;
}

const NO_PAGE: number[] = [];

export const newFlow = (
  { id, priority, key, batch, limits }: Pick<Flow, "id" | "priority" | "key" | "batch" | "limits">,
  line: Line,
): Flow => ({
  ...{ id, priority, key, batch, limits, line },
  count: 0,
  heads: null,
  page: NO_PAGE,
  position: 0,
  pageOrd: null,
  hasMore: false,
  parkedOn: null,
  wokenBy: null,
  listed: false,
  slot: 0,
});

/** Reads flows run by run: what came back first, then the backlog, page by page. */
export class FlowReader {
  private readonly backlog: Backlog;
  /** Hears of every change of how many wait. */
  private readonly counted: (flow: Flow, n: number) => void;

  constructor(backlog: Backlog, counted: (flow: Flow, n: number) => void) {
    this.backlog = backlog;
    this.counted = counted;
  }

  firstSeq(flow: Flow): number {
    return Math.min(flow.heads?.first() ?? Number.MAX_SAFE_INTEGER, this.pageFirst(flow) ?? Number.MAX_SAFE_INTEGER);
  }

  private pageFirst(flow: Flow): number | null {
    while (flow.position >= flow.page.length) {
      this.closePage(flow);
      if (!flow.hasMore) return null;
      const page = this.backlog.nextPage(flow.id);
      if (page === null) {
        flow.hasMore = false;
        return null;
      }
      flow.page = page.seqs;
      flow.pageOrd = page.ord;
      this.counted(flow, page.seqs.length - page.n);
    }
    return flow.page[flow.position] as number;
  }

  private closePage(flow: Flow): void {
    if (flow.pageOrd !== null) this.backlog.dropPage(flow.id, flow.pageOrd);
    flow.pageOrd = null;
    flow.page = NO_PAGE;
    flow.position = 0;
  }

  /** Takes the first run out; null: there is none. */
  pop(flow: Flow): number | null {
    const head = flow.heads?.shift();
    if (head !== undefined) {
      this.backlog.dropHead(flow.id, head);
      this.counted(flow, -1);
      return head;
    }
    const seq = this.pageFirst(flow);
    if (seq === null) {
      this.counted(flow, -flow.count);
      return null;
    }
    flow.position += 1;
    if (flow.position >= flow.page.length) this.closePage(flow);
    this.counted(flow, -1);
    return seq;
  }

  putHead(flow: Flow, seq: number): void {
    this.counted(flow, 1);
    flow.heads ??= new Heads();
    flow.heads.add(seq);
  }

  /** Takes out a run that is not the first. */
  remove(flow: Flow, seq: number): void {
    this.counted(flow, -1);
    if (flow.heads?.remove(seq)) return;
    const at = flow.page.indexOf(seq, flow.position);
    if (at !== -1) flow.page.splice(at, 1);
    if (flow.position >= flow.page.length) this.closePage(flow);
  }
}
