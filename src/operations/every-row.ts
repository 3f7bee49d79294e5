const PAGE = 500;

/**
 * The rows of all pages of a list, for faces whose lists have no pages.
 *
 * @param read one page behind an id; it may be one row longer than the limit where there is another.
 */
export async function* everyRow<R>(
  read: (page: { limit: number; before: string | null }) => Promise<R[]>,
  idOf: (row: R) => string,
): AsyncGenerator<R> {
  for (let before: string | null = null; ; ) {
    const rows = (await read({ limit: PAGE, before })).slice(0, PAGE);
    yield* rows;
    const last = rows[PAGE - 1];
    if (last === undefined) return;
    before = idOf(last);
  }
}
