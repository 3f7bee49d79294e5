/**
 * Finds where the frames of a zstd stream end (RFC 8878), without unpacking them: an unpacker knows one frame only, and what
 * stands behind it would be lost. A frame is a header, blocks that tell their sizes, and perhaps a checksum.
 */
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAX_HEADER = 18;
const BLOCK_HEADER = 3;
const RAW_OR_PACKED = [0, 2];

type State =
  /** Bytes of a header are gathered until they tell what they need. */
  | { kind: "header"; bytes: number[] }
  | { kind: "block_header"; bytes: number[] }
  /** So many bytes are passed on; then what comes next. */
  | { kind: "body"; left: number; next: "block_header" | "end" };

export class ZstdFrames {
  private state: State = { kind: "header", bytes: [] };
  private hasChecksum = false;

  /** A frame has begun and not ended. */
  get isOpen(): boolean {
    return this.state.kind !== "header" || this.state.bytes.length > 0;
  }

  /**
   * Index behind the frame's last byte in `part[from, …)`, or -1 where it ends in none of them.
   *
   * @throws Error for what is no zstd.
   */
  end(part: Uint8Array, from: number): number {
    let at = from;
    while (at < part.length) {
      const { state } = this;
      if (state.kind === "body") {
        const taken = Math.min(state.left, part.length - at);
        at += taken;
        state.left -= taken;
        if (state.left === 0 && this.bodyEnded(state.next)) return at;
        continue;
      }
      state.bytes.push(part[at++] as number);
      if (state.kind === "header") this.readHeader(state.bytes);
      else if (this.readBlockHeader(state.bytes)) return at;
    }
    return -1;
  }

  /** True at the end of the frame. */
  private bodyEnded(next: "block_header" | "end"): boolean {
    this.state = next === "end" ? { kind: "header", bytes: [] } : { kind: "block_header", bytes: [] };
    return next === "end";
  }

  private readHeader(bytes: number[]): void {
    if (bytes.length < 5) return;
    const magic = little(bytes, 0, 4);
    if (magic >>> 4 === SKIPPABLE_MAGIC >>> 4) {
      if (bytes.length < 8) return;
      const size = little(bytes, 4, 4) >>> 0;
      // A body of nothing has ended: its last byte is the header's.
      this.state = { kind: "body", left: size, next: "end" };
      return;
    }
    if (magic !== FRAME_MAGIC || bytes.length > MAX_HEADER) throw new Error("there is no zstd frame");
    const descriptor = bytes[4] as number;
    const isSingle = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >>> 6;
    const sizeBytes = sizeFlag === 0 ? (isSingle ? 1 : 0) : 1 << sizeFlag;
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
    if (bytes.length < 5 + (isSingle ? 0 : 1) + dictionaryBytes + sizeBytes) return;
    this.hasChecksum = (descriptor & 4) !== 0;
    this.state = { kind: "block_header", bytes: [] };
  }

  /** True where the frame ends with it: its last block is empty, and there is no checksum. */
  private readBlockHeader(bytes: number[]): boolean {
    if (bytes.length < BLOCK_HEADER) return false;
    const header = little(bytes, 0, BLOCK_HEADER);
    const isLast = (header & 1) === 1;
    const size = RAW_OR_PACKED.includes((header >>> 1) & 3) ? header >>> 3 : 1;
    const left = size + (isLast && this.hasChecksum ? 4 : 0);
    this.state = { kind: "body", left, next: isLast ? "end" : "block_header" };
    return left === 0 && this.bodyEnded(isLast ? "end" : "block_header");
  }
}

const little = (bytes: number[], from: number, count: number): number => {
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = value * 256 + (bytes[from + i] as number);
  return value;
};
