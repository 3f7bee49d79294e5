import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { count } from "../format.ts";
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
  const { problem, older, newest } = pages;
  const { rows, fresh, showFresh } = useSteady(pages, keyOf);
  return (
    <>
      <Problem text={problem} />
      {rows === null ? problem === null && <Loading lines={6} /> : null}
      {rows?.length === 0 && older === null ? empty : null}
      {rows && rows.length > 0 ? <Table label={label} columns={columns} rows={rows} keyOf={keyOf} /> : null}
      {fresh > 0 && (
        <div class="fresh">
          <button type="button" onClick={showFresh}>
            Show {count(fresh)} new
          </button>
        </div>
      )}
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

/** Rows stay where they are: they change in place, and new ones wait until they are asked for. */
function useSteady<T>({ rows, pageKey }: Pages<T>, keyOf: (row: T) => string) {
  const held = useRef<{ of: string; keys: ReadonlySet<string> }>({ of: "", keys: new Set() });
  const [, redraw] = useState(0);
  if (rows === null) return { rows, fresh: 0, showFresh: () => {} };
  const hold = (): void => {
    held.current = { of: pageKey, keys: new Set(rows.map(keyOf)) };
  };
  if (held.current.of !== pageKey || !rows.some((row) => held.current.keys.has(keyOf(row)))) hold();
  const steady = rows.filter((row) => held.current.keys.has(keyOf(row)));
  const showFresh = (): void => {
    hold();
    redraw((n) => n + 1);
  };
  return { rows: steady, fresh: rows.length - steady.length, showFresh };
}
