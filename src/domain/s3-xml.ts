/** An object as a listing shows it. */
export interface ListedObject {
  key: string;
  /** Without quotes. */
  etag: string;
  /** Bytes. */
  size: number;
}

export interface ObjectPage {
  objects: ListedObject[];
  /** List on behind this key; null at the end. */
  next: string | null;
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

const unescaped = (text: string): string =>
  text.replaceAll(/&(#x[0-9a-f]+|#\d+|\w+);/gi, (whole, name: string) => {
    if (!name.startsWith("#")) return ENTITIES[name] ?? whole;
    const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });

/** The text of the first element of a name; null where there is none. */
function element(xml: string, name: string): string | null {
  const [, text] = new RegExp(`<${name}(?:\\s[^>]*)?>([^<]*)</${name}>`).exec(xml) ?? [];
  return text === undefined ? null : unescaped(text);
}

/** `encoding-type=url`: a space may stand as a plus. A server that does not know it says so by leaving its element out. */
function decodedKey(text: string, isEncoded: boolean): string {
  if (!isEncoded) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", "%20"));
  } catch {
    return text;
  }
}

/**
 * Reads the answer of ListObjectsV2, by hand: its shape is fixed, and no XML library is needed for six elements.
 *
 * @returns null where the text is no such answer.
 */
export function parseListing(xml: string): ObjectPage | null {
  if (!/<ListBucketResult[\s>]/.test(xml)) return null;
  const isEncoded = element(xml, "EncodingType") === "url";
  const objects: ListedObject[] = [];
  for (const [, content = ""] of xml.matchAll(/<Contents(?:\s[^>]*)?>(.*?)<\/Contents>/gs)) {
    const key = element(content, "Key");
    const size = Number(element(content, "Size") ?? Number.NaN);
    if (key === null || !Number.isSafeInteger(size) || size < 0) return null;
    const etag = (element(content, "ETag") ?? "").replaceAll('"', "");
    objects.push({ key: decodedKey(key, isEncoded), etag, size });
  }
  const last = objects[objects.length - 1];
  const isTruncated = element(xml, "IsTruncated") === "true";
  return { objects, next: isTruncated && last ? last.key : null };
}

/** What a store says of its refusal: `<Error><Code>…</Code><Message>…</Message></Error>`. */
export function parseStoreError(xml: string): { code: string; message: string } | null {
  const code = /<Error[\s>]/.test(xml) ? element(xml, "Code") : null;
  return code === null ? null : { code: code.slice(0, 100), message: (element(xml, "Message") ?? "").slice(0, 300) };
}
