import fc from "fast-check";
import { expect, test } from "vitest";
import { Agenda } from "../../src/coordinator/agenda.ts";
import { Heads } from "../../src/coordinator/heads.ts";

/** What keeps things in order, beside a list that is sorted each time. */

type Entry = { do: "set"; key: number; at: number | null } | { do: "delete"; key: number } | { do: "due"; now: number };

const entry: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({ do: fc.constant("set" as const), key: fc.nat(12), at: fc.option(fc.nat(30)) }),
  fc.record({ do: fc.constant("delete" as const), key: fc.nat(12) }),
  fc.record({ do: fc.constant("due" as const), now: fc.nat(30) }),
);

test("an agenda gives what is due, earliest first, each key once", () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 80 }), (entries) => {
      const agenda = new Agenda<number>();
      const plain = new Map<number, number>();
      for (const e of entries) {
        if (e.do === "set") {
          agenda.set(e.key, e.at);
          if (e.at === null) plain.delete(e.key);
          else plain.set(e.key, e.at);
        } else if (e.do === "delete") {
          agenda.delete(e.key);
          plain.delete(e.key);
        } else {
          const due = [...agenda.due(e.now)].map((key) => ({ key, at: plain.get(key) ?? Number.NaN }));
          const expected = [...plain].filter(([, at]) => at <= e.now).map(([key]) => key);
          expect(due.map(({ key }) => key).sort()).toEqual(expected.sort());
          expect(due.map(({ at }) => at)).toEqual(due.map(({ at }) => at).sort((a, b) => a - b));
          for (const { key } of due) plain.delete(key);
        }
        expect(agenda.next()).toBe(plain.size === 0 ? null : Math.min(...plain.values()));
        for (let key = 0; key <= 12; key++) expect(agenda.has(key)).toBe(plain.has(key));
      }
    }),
  );
});

type Move = { do: "add" | "remove"; n: number } | { do: "shift" };

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("add" as const), n: fc.nat(99) }) },
  fc.record({ do: fc.constant("remove" as const), n: fc.nat(99) }),
  { weight: 2, arbitrary: fc.constant({ do: "shift" as const }) },
);

test("heads leave in ascending order, whichever came when", () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 200, size: "max" }), (moves) => {
      const heads = new Heads();
      let plain: number[] = [];
      for (const m of moves) {
        if (m.do === "shift") expect(heads.shift()).toBe(plain.shift());
        else if (m.do === "remove") {
          expect(heads.remove(m.n)).toBe(plain.includes(m.n));
          plain = plain.filter((n) => n !== m.n);
        } else if (!plain.includes(m.n)) {
          heads.add(m.n);
          plain = [...plain, m.n].sort((a, b) => a - b);
        }
        expect(heads.first()).toBe(plain[0]);
      }
    }),
  );
});
