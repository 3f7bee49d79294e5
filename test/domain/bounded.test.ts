import fc from "fast-check";
import { expect, test } from "vitest";
import { mapBounded } from "../../src/domain/bounded.ts";

test("works on so many items at once and no more, on each of them once; results stand in the items' order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(), { maxLength: 40 }),
      fc.integer({ min: 1, max: 8 }),
      fc.scheduler(),
      async (items, width, s) => {
        let inFlight = 0;
        let most = 0;
        const seen: number[] = [];
        const all = mapBounded(items, width, async (item) => {
          most = Math.max(most, ++inFlight);
          seen.push(item);
          await s.schedule(Promise.resolve());
          inFlight -= 1;
          return item + 1;
        });
        expect(await s.waitFor(all)).toEqual(items.map((item) => item + 1));
        expect(seen).toEqual(items);
        expect(most).toBe(Math.min(width, items.length));
      },
    ),
  );
});
