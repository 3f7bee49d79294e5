import type { ImportReject } from "../../client/client.ts";
import { count, plural } from "../format.ts";
import { Listing } from "../parts/listing.tsx";
import { Empty } from "../parts/panel.tsx";
import { api, usePages } from "../polling.ts";
import type { Import } from "./imports.tsx";

const REJECTS_MS = 5000;
const SHOWN = 20;

/** The first rows that were turned away, each with its place and why. All of them are in the download. */
export function ImportRejects({ of, isOver }: { of: Import; isOver: boolean }) {
  const pages = usePages(`rejects ${of.id} ${isOver}`, () => firstOf(of.id), isOver ? null : REJECTS_MS);
  const more = of.rows.rejected - SHOWN;
  return (
    <>
      <Listing<ImportReject>
        label="Rejected rows"
        pages={pages}
        keyOf={({ file, line, byte_offset }) => `${file} ${line} ${byte_offset}`}
        columns={[
          {
            title: "Why",
            isMain: true,
            cell: ({ file, line, reason }) => (
              <>
                <span class="main-name">{reason}</span>
                <span class="cell-sub wrap">
                  <span class="mono">{file}</span>
                  {line !== null && `, line ${count(line)}`}
                </span>
              </>
            ),
          },
          { title: "The row", isLong: true, cell: ({ raw }) => <code class="clamp">{raw}</code> },
        ]}
        empty={<Empty title="No row was rejected" />}
      />
      {more > 0 && <p class="more quiet">{plural(more, "row")} more: they are in the download.</p>}
    </>
  );
}

/** Reads no more of the stream than is shown. */
async function firstOf(id: string): Promise<{ data: ImportReject[]; next_cursor: null }> {
  const data: ImportReject[] = [];
  for await (const reject of api().imports.rejects(id)) {
    data.push(reject);
    if (data.length === SHOWN) break;
  }
  return { data, next_cursor: null };
}
