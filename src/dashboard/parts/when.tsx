import { now } from "../clock.ts";
import { moment, NONE, relative } from "../format.ts";

/** A time, as how long ago it is; the exact one when asked for. */
export function When({ at }: { at: string | null }) {
  if (at === null) return <span class="quiet">{NONE}</span>;
  return (
    <time dateTime={at} title={moment(at)}>
      {relative(at, now.value)}
    </time>
  );
}
