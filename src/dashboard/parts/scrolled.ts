import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** Where a bar is wider than the phone, what is chosen in it is brought into sight. `chosen` is its selector. */
export function useScrolledTo(bar: RefObject<HTMLElement | null>, chosen: string, key: string): void {
  useEffect(() => {
    const at = bar.current?.querySelector<HTMLElement>(chosen);
    if (!bar.current || !at) return;
    const { left, right } = at.getBoundingClientRect();
    const seen = bar.current.getBoundingClientRect();
    if (left < seen.left) bar.current.scrollLeft -= seen.left - left;
    else if (right > seen.right) bar.current.scrollLeft += right - seen.right;
  }, [bar, chosen, key]);
}
