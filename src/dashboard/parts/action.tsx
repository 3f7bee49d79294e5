import { useEffect, useState } from "preact/hooks";
import { problemOf } from "../session.ts";

interface ActionProps {
  label: string;
  act: () => Promise<unknown>;
  /** Asked before anything is done that cannot be undone. */
  question?: string;
  isPrimary?: boolean;
  isDisabled?: boolean;
  /** Told when it went well. */
  onDone?: () => void;
}

const PATIENCE_MS = 5000;

/** A button that does something over there: once at a time, and it says what went wrong. */
export function Action({ label, act, question, isPrimary, isDisabled, onDone }: ActionProps) {
  const [state, setState] = useState<"idle" | "asking" | "busy">("idle");
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    if (state !== "asking") return;
    const timer = setTimeout(() => setState("idle"), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [state]);

  const press = async (): Promise<void> => {
    if (question !== undefined && state === "idle") return setState("asking");
    setState("busy");
    setProblem(null);
    try {
      await act();
      onDone?.();
    } catch (error) {
      setProblem(problemOf(error));
    }
    setState("idle");
  };

  const kind = state === "asking" ? "danger" : isPrimary ? "primary" : undefined;
  return (
    <span class="action">
      <button
        type="button"
        class={kind}
        disabled={isDisabled || state === "busy"}
        aria-busy={state === "busy"}
        onClick={press}
      >
        {state === "asking" ? question : label}
      </button>
      {problem !== null && (
        <span class="action-problem" role="alert">
          {problem}
        </span>
      )}
    </span>
  );
}
