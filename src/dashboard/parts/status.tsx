import { lookOf, type Mark } from "../wording.ts";

const SHAPES: Record<Mark, string> = {
  tick: "M2.5 6.5 5 9l4.5-6",
  cross: "m3 3 6 6m0-6L3 9",
  play: "M3.5 2.5v7l6-3.5z",
  ring: "M6 2.2a3.8 3.8 0 1 0 .01 0z",
  half: "M6 2.2a3.8 3.8 0 1 0 .01 0zM6 2.2v7.6",
  pause: "M4 2.8v6.4M8 2.8v6.4",
  bar: "M2.5 6h7",
  clock: "M6 2.2a3.8 3.8 0 1 0 .01 0zM6 4v2.2l1.6 1",
};

interface StatusProps {
  of: string;
  /** Instead of its word. */
  label?: string;
  isMarkOnly?: boolean;
}

/** A state: its mark, its word and its colour. */
export function Status({ of, label, isMarkOnly }: StatusProps) {
  const { label: word, tone, mark } = lookOf(of);
  return (
    <span class={`status tone-${tone}`}>
      <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
        <path d={SHAPES[mark]} fill={mark === "play" ? "currentColor" : "none"} />
      </svg>
      <span class={isMarkOnly ? "hidden" : undefined}>{label ?? word}</span>
    </span>
  );
}
