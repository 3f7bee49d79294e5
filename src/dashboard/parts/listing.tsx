import type { ComponentChildren } from "preact";
import type { Pages } from "../polling.ts";
import { Loading, Problem } from "./panel.tsx";
import { type Column, Table } from "./table.tsx";

interface ListingProps<T> {
  label: string;
  pages: Pages<T>;
  columns: Column<T>[];
  keyOf: (row: T) => string;
  empty: ComponentChildren;
}

/** A list of the API: its rows, its pages, its trouble. */
export function Listing<T>({ label, pages, columns, keyOf, empty }: ListingProps<T>) {
  const { rows, problem, older, newest } = pages;
  return (
    <>
      <Problem text={problem} />
      {rows === null ? problem === null && <Loading lines={6} /> : null}
      {rows?.length === 0 && older === null ? empty : null}
      {rows && rows.length > 0 ? <Table label={label} columns={columns} rows={rows} keyOf={keyOf} /> : null}
      {older || newest ? (
        <nav class="pager" aria-label={`Pages of ${label}`}>
          <button type="button" disabled={newest === null} onClick={() => newest?.()}>
            Newest
          </button>
          <button type="button" disabled={older === null} onClick={() => older?.()}>
            Older
          </button>
        </nav>
      ) : null}
    </>
  );
}
