/** Reads at most `limit` bytes as UTF-8 and cancels the rest; a character cut in half at the limit is left out. */
export async function readTextAtMost(
  body: ReadableStream<Uint8Array>,
  limit: number,
): Promise<{ text: string; cut: boolean }> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { text: text + decoder.decode(), cut: false };
    const room = limit - bytes;
    if (value.length > room) {
      text += decoder.decode(value.subarray(0, room), { stream: true });
      // The connection is given up; what its other end says to that changes nothing.
      reader.cancel().catch(() => undefined);
      return { text, cut: true };
    }
    bytes += value.length;
    text += decoder.decode(value, { stream: true });
  }
}
