/** Numbers in ascending order, of which the first leaves and others come at any place, mostly at the end. */
export class Heads {
  private numbers: number[] = [];
  /** Those before it have left. */
  private start = 0;

  first(): number | undefined {
    return this.numbers[this.start];
  }

  add(number: number): void {
    const last = this.numbers[this.numbers.length - 1];
    if (last === undefined || this.start === this.numbers.length || last < number) this.numbers.push(number);
    else this.numbers.splice(this.placeOf(number), 0, number);
  }

  /** Takes the first out. */
  shift(): number | undefined {
    const first = this.numbers[this.start];
    if (first === undefined) return undefined;
    this.start += 1;
    if (this.start * 2 >= this.numbers.length || this.numbers.length < 16) {
      this.numbers = this.numbers.slice(this.start);
      this.start = 0;
    }
    return first;
  }

  /** Whether it was there. */
  remove(number: number): boolean {
    const at = this.placeOf(number);
    if (this.numbers[at] !== number) return false;
    this.numbers.splice(at, 1);
    return true;
  }

  /** Where it stands, or would. */
  private placeOf(number: number): number {
    let low = this.start;
    let high = this.numbers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.numbers[middle] as number) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
