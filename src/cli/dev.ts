import { startDevServer } from "./dev-server.ts";
import { endSignal } from "./end-signal.ts";

/** `npm run dev`: PORT (8787), STATE_DIR (.state) and ADMIN_TOKEN come from the environment. Returns the exit code. */
async function dev(signal: AbortSignal): Promise<number> {
  const port = Number(process.env.PORT ?? "8787");
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    console.error(`PORT is not a port: ${process.env.PORT}`);
    return 1;
  }
  const stateDir = process.env.STATE_DIR ?? ".state";
  try {
    const server = await startDevServer({ port, stateDir, adminToken: process.env.ADMIN_TOKEN, signal });
    console.log(`Sluice is ready on ${server.url} with the API key ${server.apiKey}`);
    await server.ended;
    if (signal.aborted) return 0;
    console.error(`the Worker ended by itself:\n${server.logTail()}`);
  } catch (error) {
    if (signal.aborted) return 0;
    console.error(error instanceof Error ? error.message : error);
  }
  return 1;
}

process.exit(await dev(endSignal()));
