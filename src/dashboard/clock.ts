import { signal } from "@preact/signals";

/** Unix milliseconds, once a second: for everything that says how long ago. */
export const now = signal(Date.now());

setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
