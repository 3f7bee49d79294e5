import { SluiceError } from "../client/client.ts";
import { session } from "./session.ts";

interface SaveTarget {
  createWritable(): Promise<WritableStream<Uint8Array>>;
}
type Chooser = (options: { suggestedName: string }) => Promise<SaveTarget>;

/**
 * Saves what a path answers as a file. Where the browser can write to disk it goes there as it comes; elsewhere the browser
 * keeps it until it is whole. The key goes with the request, so a plain link will not do.
 *
 * @throws SluiceError, or what the network or the disk says.
 */
export async function download(path: string, fileName: string): Promise<void> {
  const { key } = session.value ?? {};
  if (key === undefined) throw new Error("Sign in first.");
  const choose = (window as { showSaveFilePicker?: Chooser }).showSaveFilePicker;
  let target: SaveTarget | null = null;
  try {
    // It must be asked for while the click still counts.
    target = choose ? await choose({ suggestedName: fileName }) : null;
  } catch (error) {
    if ((error as Error).name === "AbortError") return;
  }
  const response = await fetch(path, { headers: { Authorization: `Bearer ${key}`, Accept: "application/x-ndjson" } });
  if (!response.ok || response.body === null) throw new SluiceError(response, await response.text(), Date.now());
  if (target !== null) return response.body.pipeTo(await target.createWritable());
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: fileName });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
