import { useState } from "preact/hooks";
import { bytes, prettyJson } from "../format.ts";

const AT_FIRST = 20_000;

/** A value as text: whatever stands in it is shown, never run. */
export function JsonView({ value, label }: { value: unknown; label: string }) {
  const [isWhole, setWhole] = useState(false);
  const { text, omitted } = prettyJson(value, isWhole ? Number.POSITIVE_INFINITY : AT_FIRST);
  return (
    <div class="json">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so must take the focus */}
      <section class="scroll" tabIndex={0} aria-label={label}>
        <pre>{text}</pre>
      </section>
      {omitted > 0 && (
        <button type="button" onClick={() => setWhole(true)}>
          Show {bytes(omitted)} more
        </button>
      )}
    </div>
  );
}
