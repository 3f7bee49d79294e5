/**
 * The canonical form of a JSON text (RFC 8785): no white space, members sorted by UTF-16 code units, strings and numbers as
 * ECMAScript writes them. Equal forms mean equal payloads. Where the RFC has no answer, what differs stays different:
 *
 * - a number whose decimal value no double has (20-digit integers, 1e400) is written as exact digits, `-?digits e exponent`
 *   without trailing zeros, which no double is written as;
 * - members with the same key all stay, in their order;
 * - half a surrogate pair stays as its escape.
 *
 * @param text sound JSON, nested at most some hundred levels deep.
 */
export function canonicalJson(text: string): string {
  return new Canonicalizer(text).run();
}

class Canonicalizer {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  run(): string {
    this.space();
    return this.value();
  }

  private value(): string {
    switch (this.text.charCodeAt(this.at)) {
      case 0x7b:
        return this.object();
      case 0x5b:
        return this.array();
      case 0x22:
        return this.string();
      case 0x74:
        return this.literal("true");
      case 0x66:
        return this.literal("false");
      case 0x6e:
        return this.literal("null");
      default:
        return this.number();
    }
  }

  private object(): string {
    const members: { key: string; text: string }[] = [];
    let sorted = true;
    this.step();
    while (this.text.charCodeAt(this.at) !== 0x7d) {
      if (this.text.charCodeAt(this.at) === 0x2c) this.step();
      const written = this.string();
      const key = written.includes("\\") ? (JSON.parse(written) as string) : written.slice(1, -1);
      this.space();
      this.step();
      const last = members.at(-1);
      if (last !== undefined && last.key > key) sorted = false;
      members.push({ key, text: `${written}:${this.value()}` });
      this.space();
    }
    this.at++;
    // Array.prototype.sort is stable, so members with the same key keep their order.
    if (!sorted) members.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    return `{${members.map((m) => m.text).join(",")}}`;
  }

  private array(): string {
    const elements: string[] = [];
    this.step();
    while (this.text.charCodeAt(this.at) !== 0x5d) {
      if (this.text.charCodeAt(this.at) === 0x2c) this.step();
      elements.push(this.value());
      this.space();
    }
    this.at++;
    return `[${elements.join(",")}]`;
  }

  /** Without escapes a string is canonical as it stands: raw control characters are no JSON. */
  private string(): string {
    const from = this.at++;
    let escaped = false;
    for (;;) {
      const c = this.text.charCodeAt(this.at++);
      if (c === 0x22) break;
      if (c === 0x5c) {
        escaped = true;
        this.at++;
      }
    }
    const written = this.text.slice(from, this.at);
    return escaped ? JSON.stringify(JSON.parse(written)) : written;
  }

  private literal(word: string): string {
    this.at += word.length;
    return word;
  }

  private number(): string {
    const from = this.at;
    while (isNumberPart(this.text.charCodeAt(this.at))) this.at++;
    return canonicalNumber(this.text.slice(from, this.at));
  }

  private step(): void {
    this.at++;
    this.space();
  }

  private space(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.at++;
    }
  }
}

const isNumberPart = (c: number): boolean =>
  (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2b || c === 0x2e || (c | 0x20) === 0x65;

/** Every integer of up to 15 digits is a double and is written with the same digits. */
const SMALL_INTEGER = /^(?:0|-?[1-9]\d{0,14})$/;

/** A JSON number as ECMAScript writes its double, or as exact digits where the double is another number. */
export function canonicalNumber(token: string): string {
  if (SMALL_INTEGER.test(token)) return token;
  const double = Number(token);
  const written = String(double); // -0 is written 0.
  const exact = exactDecimal(token);
  return Number.isFinite(double) && exactDecimal(written) === exact ? written : exact;
}

/** `[-]digits e exponent`, digits without zeros at either end: one text for each decimal number. */
function exactDecimal(token: string): string {
  const [mantissa = "", exponent = "0"] = token.toLowerCase().split("e");
  const negative = mantissa.startsWith("-");
  const [whole = "", fraction = ""] = (negative ? mantissa.slice(1) : mantissa).split(".");
  const digits = stripZeros(whole + fraction);
  if (digits.kept === "") return "0";
  const scale = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.trailing);
  return `${negative ? "-" : ""}${digits.kept}e${scale}`;
}

/** By hand: `/0+$/` takes quadratic time on long runs of zeros. */
function stripZeros(digits: string): { kept: string; trailing: number } {
  let from = 0;
  let to = digits.length;
  while (from < to && digits.charCodeAt(from) === 0x30) from++;
  while (to > from && digits.charCodeAt(to - 1) === 0x30) to--;
  return { kept: digits.slice(from, to), trailing: digits.length - to };
}
