import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Problem } from "./parts/panel.tsx";
import { notice, signIn } from "./session.ts";

/** The first field takes the key, Enter signs in. */
export function SignIn() {
  const field = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  // Before anything can be typed.
  useLayoutEffect(() => field.current?.focus(), []);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setProblem(await signIn(field.current?.value ?? ""));
    setBusy(false);
  };

  return (
    <div class="sign-in">
      <form class="sign-in-box" onSubmit={submit} aria-label="Sign in">
        <span class="brand">
          <Logo /> Sluice
        </span>
        <div class="field">
          <label for="key">API key</label>
          <input
            ref={field}
            id="key"
            type="password"
            autocomplete="off"
            spellcheck={false}
            placeholder="sluice_…"
            aria-describedby="key-says"
          />
        </div>
        <button type="submit" class="primary" disabled={isBusy}>
          Sign in
        </button>
        <div id="key-says" class="sign-in-says">
          {(problem ?? notice.value) ? (
            <Problem text={problem ?? notice.value} />
          ) : (
            "The key stays in this tab: it is sent in a header, never in an address, and forgotten when the tab is closed."
          )}
        </div>
      </form>
    </div>
  );
}

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#0b6e75" />
      <path d="M7 9v14M25 9v14M11 12h10M11 16h10" stroke="#fff" stroke-width="3" stroke-linecap="round" />
      <path d="M11 21q2.5-2 5 0t5 0" stroke="#8fe3e0" stroke-width="2.5" stroke-linecap="round" fill="none" />
    </svg>
  );
}
