import { ApiError } from "../domain/error.ts";
import { numberedSlug, slugFrom } from "../domain/slug.ts";

/** A made-up slug is tried with so many numbers behind it. */
const CHOICES = 50;

export const slugTaken = (slug: string): ApiError =>
  new ApiError("conflict", `slug: ${slug} is taken`, { details: [{ path: "slug", message: "is taken" }] });

/**
 * Makes an object under the slug that is wanted, else under the first free one that its name gives.
 *
 * @param fallback stands where nothing is left of the name.
 * @param make answers null where the slug is taken.
 * @throws ApiError `conflict`.
 */
export async function underFreeSlug<R>(
  wanted: { name: string; slug?: string | undefined },
  fallback: string,
  make: (slug: string) => Promise<R | null>,
): Promise<R> {
  const made = slugFrom(wanted.name, fallback);
  for (let choice = 1; ; choice++) {
    const slug = wanted.slug ?? numberedSlug(made, choice);
    const object = await make(slug);
    if (object !== null) return object;
    if (wanted.slug !== undefined || choice === CHOICES) throw slugTaken(slug);
  }
}
