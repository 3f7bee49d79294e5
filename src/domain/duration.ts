/** Of each unit, in milliseconds. */
const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const WHOLE = /^(?:\d{1,9}(?:\.\d{1,6})?(?:ms|s|m|h|d))+$/;
const PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;

/** Milliseconds of a duration as Go writes it, `5m` or `1h30m`, days included; null where the text is none. */
export function parseDuration(text: string): number | null {
  if (text.length > 64 || !WHOLE.test(text)) return null;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(PART)) sum += Number(amount) * (UNITS[unit ?? ""] ?? 0);
  return Math.round(sum);
}
