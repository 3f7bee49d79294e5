import { readTextAtMost } from "../domain/bounded-text.ts";
import { MAX_EXCERPT_BYTES } from "../domain/call.ts";
import { MAX_BODY_BYTES } from "../domain/run.ts";

/**
 * A result in the form it is kept: JSON text. A text's escapes can make it longer than the body was; this bounds it, so that
 * a result always fits one SQL parameter.
 */
export const MAX_RESULT_BYTES = 1_310_720;

export interface Result {
  /** Raw JSON where the body was JSON, else a JSON string; null for an empty body. */
  result: string | null;
  truncated: boolean;
}

const NOTHING: Result = { result: null, truncated: false };
const encoder = new TextEncoder();

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** Whether a text's UTF-8 form is at most `MAX_RESULT_BYTES`; the length alone answers for most. */
const fits = (text: string): boolean =>
  text.length * 3 <= MAX_RESULT_BYTES || encoder.encode(text).length <= MAX_RESULT_BYTES;

/** The longest JSON string of a beginning of `text` that stays within `MAX_RESULT_BYTES`. */
function cutJsonString(text: string): string {
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(JSON.stringify(text.slice(0, middle)))) low = middle;
    else high = middle - 1;
  }
  const last = text.charCodeAt(low - 1);
  const splitsPair = last >= 0xd800 && last <= 0xdbff;
  return JSON.stringify(text.slice(0, splitsPair ? low - 1 : low));
}

/** The result that a body makes. `cut`: the body went on beyond what was read. */
export function resultOf(text: string, cut: boolean): Result {
  if (text === "" && !cut) return NOTHING;
  if (!cut && isJson(text) && fits(text)) return { result: text, truncated: false };
  const whole = JSON.stringify(text);
  if (fits(whole)) return { result: whole, truncated: cut };
  return { result: cutJsonString(text), truncated: true };
}

/** The size a body announces; null where it does not, or where it is compressed and will grow. */
function announcedBytes(response: Response): number | null {
  const length = response.headers.get("content-length");
  if (length === null || response.headers.has("content-encoding")) return null;
  return Number(length);
}

/**
 * The result of a success, from at most `MAX_BODY_BYTES` of its body.
 *
 * @throws what the connection throws while the body is read.
 */
export async function readResult(response: Response): Promise<Result> {
  if (response.body === null) return NOTHING;
  const announced = announcedBytes(response);
  if (announced !== null && announced <= MAX_BODY_BYTES) return resultOf(await response.text(), false);
  const { text, cut } = await readTextAtMost(response.body, MAX_BODY_BYTES);
  return resultOf(text, cut);
}

/** The beginning of a refusing answer's body. The status is the answer: a body that breaks off is as good as none. */
export async function readExcerpt(response: Response): Promise<string> {
  if (response.body === null) return "";
  try {
    const announced = announcedBytes(response);
    if (announced !== null && announced <= MAX_EXCERPT_BYTES) return await response.text();
    return (await readTextAtMost(response.body, MAX_EXCERPT_BYTES)).text;
  } catch {
    return "";
  }
}
