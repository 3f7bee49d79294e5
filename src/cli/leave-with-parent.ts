/**
 * Preloaded into wrangler's process (`node --import`): when the process that started it vanishes without a word (kill -9),
 * wrangler must not stay behind with its runtime.
 */
const starter = process.ppid;
const CHECK_MS = 100;
const GRACE_MS = 1_000;

const watch = setInterval(() => {
  if (process.ppid === starter) return;
  clearInterval(watch);
  process.kill(process.pid, "SIGTERM");
  // Exit hooks kill the runtime even where the polite way hangs.
  setTimeout(() => process.exit(1), GRACE_MS).unref();
}, CHECK_MS);
watch.unref();

export {};
