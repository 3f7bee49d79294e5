import { createHash } from "node:crypto";
import { once } from "node:events";
import { unlinkSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Another `npm run dev` keeps its data in this folder. */
class StateDirInUse extends Error {
  constructor(path: string) {
    super(`${path} is in use by another npm run dev; stop that one, or set STATE_DIR to another folder`);
    this.name = "StateDirInUse";
  }
}

/**
 * Keeps a folder for this process until it ends, however it ends: two servers would write over each other's databases. What
 * is held is a socket, because the system takes it from a process that is killed, as it would not take a file.
 *
 * @throws StateDirInUse
 */
export async function lockStateDir(path: string): Promise<void> {
  const address = socketOf(path);
  for (let tries = 2; tries > 0; tries--) {
    if (await listens(createServer(), address)) return;
    if (await answers(address)) break;
    unlinkSync(address);
  }
  throw new StateDirInUse(path);
}

/** Beside no other file, and short: a socket's name has at most 104 bytes on some systems. */
function socketOf(path: string): string {
  const name = `sluice-${createHash("sha256").update(path).digest("hex").slice(0, 24)}`;
  return process.platform === "win32" ? `\\\\.\\pipe\\${name}` : join(tmpdir(), `${name}.sock`);
}

async function listens(server: Server, address: string): Promise<boolean> {
  server.unref().listen(address);
  try {
    await once(server, "listening");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return false;
    throw error;
  }
}

async function answers(address: string): Promise<boolean> {
  const socket = connect(address);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
