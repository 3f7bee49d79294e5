/** What an import reads: one object, a directory or a whole bucket (contract 9). */
export interface ObjectPlace {
  kind: "s3" | "r2";
  /** A bucket's name, or the name of a bound bucket. */
  bucket: string;
  /** The object's key, or what all keys begin with. */
  prefix: string;
  /** Exactly one object. */
  isObject: boolean;
}

/** What any store takes; whether its own does is for it to say. */
const S3_BUCKET = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$/;
const BINDING = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const MAX_KEY_BYTES = 1024;
const HINT = "must be s3://bucket, s3://bucket/directory/, s3://bucket/key or r2://BINDING/prefix";

/** The place, or what is wrong with the URL as the second half of "source.url: …". */
export function parseObjectUrl(text: string): ObjectPlace | string {
  const [, scheme, bucket = "", slash, prefix = ""] = /^(s3|r2):\/\/([^/]*)(\/?)(.*)$/su.exec(text) ?? [];
  if (scheme === undefined) return HINT;
  const kind = scheme as "s3" | "r2";
  if (!(kind === "s3" ? S3_BUCKET : BINDING).test(bucket)) return `${HINT}: the bucket's name is wrong`;
  if (new TextEncoder().encode(prefix).length > MAX_KEY_BYTES) return `has a key of more than ${MAX_KEY_BYTES} bytes`;
  const isObject = kind === "s3" && slash === "/" && prefix !== "" && !prefix.endsWith("/");
  return { kind, bucket, prefix, isObject };
}

/** The whole URL of an object, as filters see it and rejects name it. */
export const objectUrl = (place: Pick<ObjectPlace, "kind" | "bucket">, key: string): string =>
  `${place.kind}://${place.bucket}/${key}`;
