import { RE2JS } from "re2js";

const MAX_FILTER = 1024;

/** Whether an object's whole URL is wanted. */
export type ObjectFilter = (url: string) => boolean;

/**
 * Compiles a filter in RE2 syntax: searched, not anchored, in time linear in the URL whatever it says.
 *
 * @returns what is wrong with it, as the second half of "regex_filter: …", where it is none.
 */
export function objectFilter(text: string | null): ObjectFilter | string {
  if (text === null || text === "") return () => true;
  if (text.length > MAX_FILTER) return `is longer than ${MAX_FILTER} characters`;
  try {
    const pattern = RE2JS.compile(text);
    return (url) => pattern.matcher(url).find();
  } catch (error) {
    return `is not a regular expression in RE2 syntax: ${(error as Error).message}`;
  }
}
