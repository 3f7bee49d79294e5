import { count } from "../format.ts";

export interface Part {
  label: string;
  value: number;
  kind: "good" | "bad" | "busy" | "idle" | "held";
}

interface FlowProps {
  parts: Part[];
  total: number;
  label: string;
  isSmall?: boolean;
}

/** Parts of a whole, told apart by their patterns as well as by their colours. Each is cut out in its place: none moves. */
export function Flow({ parts, total, label, isSmall }: FlowProps) {
  const words = parts.filter(({ value }) => value > 0).map((p) => `${count(p.value)} ${p.label}`);
  let from = 0;
  return (
    <div class={isSmall ? "flow small" : "flow"} role="img" aria-label={`${label}: ${words.join(", ") || "nothing"}`}>
      {parts.map(({ label: name, value, kind }) => {
        const left = from;
        from += (100 * value) / Math.max(total, 1);
        return (
          <i
            key={name}
            class={`flow-${kind}`}
            style={{ clipPath: `inset(0 ${Math.max(0, 100 - from)}% 0 ${left}%)` }}
          />
        );
      })}
    </div>
  );
}

/** What the patterns mean, with the numbers. */
export function Legend({ parts }: { parts: Part[] }) {
  return (
    <ul class="legend">
      {parts.map(({ label, value, kind }) => (
        <li key={label} class={value === 0 ? "none" : undefined}>
          <i class={`flow-${kind}`} aria-hidden="true" />
          {label} <span class="legend-value">{count(value)}</span>
        </li>
      ))}
    </ul>
  );
}
