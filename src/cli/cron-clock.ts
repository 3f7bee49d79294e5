/** `wrangler dev` never fires a Cron Trigger: this does, once at the start and then at every full minute. */
export function startCronClock(workerUrl: string, cron: string): { stop(): void } {
  const fire = () => {
    // A missed minute is no failure: the Worker's own alarms do the work, the cron only repairs.
    fetch(`${workerUrl}/cdn-cgi/local/scheduled?cron=${encodeURIComponent(cron)}`).then(
      (response) => response.arrayBuffer(),
      () => undefined,
    );
  };
  let timer: NodeJS.Timeout;
  const arm = () => {
    timer = setTimeout(
      () => {
        fire();
        arm();
      },
      60_000 - (Date.now() % 60_000),
    );
  };
  fire();
  arm();
  return { stop: () => clearTimeout(timer) };
}
