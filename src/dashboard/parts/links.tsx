import { shortId } from "../format.ts";
import { nameOfJob } from "../job-names.ts";
import { hrefOf, type Section } from "../routing.ts";

/** A job by its name. */
export function JobLink({ id }: { id: string }) {
  const name = nameOfJob(id);
  return <a href={hrefOf("jobs", id)}>{name ?? <span class="mono">{shortId(id)}</span>}</a>;
}

/** An object that has no name, by the end of its id. */
export function IdLink({ section, id }: { section: Section; id: string | null }) {
  if (id === null) return <span class="quiet">–</span>;
  return (
    <a href={hrefOf(section, id)} class="mono" title={id}>
      {shortId(id)}
    </a>
  );
}
