import type { ComponentChildren } from "preact";

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  /** Set right, in figures of one width. */
  isNumber?: boolean;
  /** What the row is known by: on a phone it heads the row. */
  isMain?: boolean;
  /** On a phone it has a line of its own. */
  isLong?: boolean;
  /** Of a column on a desk; what is left is shared by the others. Widths are fixed, so nothing moves while numbers tick. */
  width?: "narrow" | "medium" | "wide";
}

interface TableProps<T> {
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
}

/** Dense on a desk; on a phone each row is a small card. The roles outlive the change of display. */
export function Table<T>({ label, columns, rows, keyOf }: TableProps<T>) {
  return (
    // biome-ignore lint/a11y/noRedundantRoles: `display: grid` on a phone takes the implied ones away.
    <table class="table" role="table" aria-label={label}>
      {/* biome-ignore lint/a11y/noRedundantRoles: as above */}
      <thead role="rowgroup">
        {/* biome-ignore lint/a11y/noRedundantRoles: as above */}
        <tr role="row">
          {columns.map(({ title, isNumber, width }) => (
            // biome-ignore lint/a11y/noRedundantRoles: as above
            <th key={title} role="columnheader" scope="col" class={classes(isNumber && "number", width)}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      {/* biome-ignore lint/a11y/noRedundantRoles: as above */}
      <tbody role="rowgroup">
        {rows.map((row) => (
          // biome-ignore lint/a11y/noRedundantRoles: as above
          <tr key={keyOf(row)} role="row">
            {columns.map(({ title, cell, isNumber, isMain, isLong, width }) => (
              <Cell
                key={title}
                title={title}
                look={classes(isNumber && "number", isMain && "main", isLong && "long", width)}
              >
                {cell(row)}
              </Cell>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const classes = (...names: (string | false | undefined)[]): string | undefined =>
  names.filter(Boolean).join(" ") || undefined;

function Cell({ title, look, children }: { title: string; look: string | undefined; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noRedundantRoles: as above
    <td role="cell" data-title={title} class={look}>
      {children}
    </td>
  );
}
