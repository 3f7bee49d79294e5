import { count } from "../format.ts";

export interface Part {
  label: string;
  value: number;
  kind: "good" | "bad" | "busy" | "idle" | "held";
}

/** Parts of a whole, told apart by their patterns as well as by their colours. */
export function Flow({ parts, total, label }: { parts: Part[]; total: number; label: string }) {
  const shown = parts.filter(({ value }) => value > 0);
  const words = shown.map((p) => `${count(p.value)} ${p.label}`).join(", ");
  return (
    <div class="flow" role="img" aria-label={`${label}: ${words || "nothing"}`}>
      {shown.map(({ label: name, value, kind }) => (
        <i key={name} class={`flow-${kind}`} style={{ width: `${(100 * value) / Math.max(total, 1)}%` }} />
      ))}
    </div>
  );
}

/** What the patterns mean, with the numbers. */
export function Legend({ parts }: { parts: Part[] }) {
  return (
    <ul class="legend">
      {parts.map(({ label, value, kind }) => (
        <li key={label}>
          <i class={`flow-${kind}`} aria-hidden="true" />
          <span class="legend-value">{count(value)}</span> {label}
        </li>
      ))}
    </ul>
  );
}
