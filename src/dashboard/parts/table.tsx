import type { ComponentChildren } from "preact";

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  /** Set right, in figures of one width. */
  isNumber?: boolean;
  /** What the row is known by: on a phone it heads the row. */
  isMain?: boolean;
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
          {columns.map(({ title, isNumber }) => (
            // biome-ignore lint/a11y/noRedundantRoles: as above
            <th key={title} role="columnheader" scope="col" class={isNumber ? "number" : undefined}>
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
            {columns.map(({ title, cell, isNumber, isMain }) => (
              // biome-ignore lint/a11y/noRedundantRoles: as above
              <td
                key={title}
                role="cell"
                data-title={title}
                class={[isNumber ? "number" : "", isMain ? "main" : ""].join(" ").trim() || undefined}
              >
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
