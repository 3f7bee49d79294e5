import type { Context, TypedResponse } from "hono";
import type { AppEnv } from "../context.ts";

/** Answers whose parts are fetched while they leave: memory holds a few of them, however many there are. */

/** Bodies of 1 MiB that are held at once. */
const AHEAD = 6;

/** Maps one behind the other, some of them under way before they are asked for. */
export async function* mapAhead<T, R>(source: AsyncIterable<T> | Iterable<T>, map: (item: T) => Promise<R>) {
  const underWay: Promise<R>[] = [];
  for await (const item of source) {
    const next = map(item);
    // Whoever awaits it hears of its failure; until then it must not count as unheard.
    next.catch(() => undefined);
    underWay.push(next);
    if (underWay.length === AHEAD) yield (await underWay.shift()) as R;
  }
  for (const last of underWay) yield await last;
}

/** `head`, the items separated by commas, `tail`. */
async function* commaSeparated(head: string, items: AsyncIterable<object>, tail: string): AsyncGenerator<string> {
  let separator = head;
  for await (const item of items) {
    yield separator + JSON.stringify(item);
    separator = ",";
  }
  yield (separator === head ? head : "") + tail;
}

/**
 * A JSON answer that is an array, or ends in one. Its first part is read before anything is sent, so that what fails at once
 * is an error answer; what fails later breaks the answer off.
 */
export async function arrayAnswer(
  c: Context<AppEnv>,
  items: AsyncIterable<object>,
  headers: Record<string, string> = {},
  [head, tail]: readonly [string, string] = ["[", "]"],
): Promise<Response & TypedResponse<never, 200, "json">> {
  const texts = commaSeparated(head, items, tail);
  const encoder = new TextEncoder();
  let next: IteratorResult<string> = await texts.next();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (next.done) return controller.close();
      controller.enqueue(encoder.encode(next.value));
      next = await texts.next();
    },
    async cancel() {
      await texts.return(undefined);
    },
  });
  const response: Response = c.body(body, 200, { "Content-Type": "application/json", ...headers });
  return response as Response & TypedResponse<never, 200, "json">;
}

/** What a page of a list says of itself. `next` is 0 at the end. */
export const pageHeadersOf = (
  limit: number,
  offset: number,
  rows: number,
  hasMore: boolean,
): Record<string, string> => ({
  "X-Limit": String(limit),
  "X-Offset": String(offset),
  "X-Next-Offset": String(hasMore ? offset + rows : 0),
  "X-Has-More": String(hasMore),
});
