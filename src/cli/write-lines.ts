/** NDJSON on standard output, no faster than its reader. */
export async function writeLines(values: AsyncIterable<unknown>): Promise<void> {
  for await (const value of values) {
    if (!process.stdout.write(`${JSON.stringify(value)}\n`))
      await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
  }
}
