/**
 * Whether a write failed because of a unique column, such as `projects.slug`. D1 names table and columns in its message,
 * and drizzle wraps it.
 */
export function isUniqueViolation(error: unknown, column: string): boolean {
  for (let cause: unknown = error, depth = 0; cause instanceof Error && depth < 4; cause = cause.cause, depth++) {
    if (cause.message.includes("UNIQUE constraint failed") && cause.message.includes(column)) return true;
  }
  return false;
}
