/** What a store says is not trusted to end, nor to go on. */

/** A store that sends nothing for so long has gone. */
const SILENCE_MS = 60_000;

/** @throws Error where nothing comes any more. */
export async function withinSilence<T>(reading: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("the store sends nothing any more")), SILENCE_MS);
  });
  try {
    return await Promise.race([reading, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The beginning of an answer as text.
 *
 * @throws Error saying what the store does, where the connection breaks off or nothing comes any more.
 */
export async function beginningOf(response: Response, maxBytes: number): Promise<{ text: string; isWhole: boolean }> {
  const reader = (response.body ?? new Blob([]).stream()).getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (let bytes = 0; bytes <= maxBytes; ) {
      const { done, value } = await withinSilence(reader.read());
      if (done) return { text: text + decoder.decode(), isWhole: true };
      bytes += value.byteLength;
      text += decoder.decode(value, { stream: true });
    }
    return { text, isWhole: false };
  } catch (error) {
    throw new Error(`breaks off: ${(error as Error).message}`);
  } finally {
    // What is left of it is not wanted, and need not be told of.
    reader.cancel().catch(() => undefined);
  }
}
