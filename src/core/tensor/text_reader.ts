/**
 * A cursor over the text of a file header, shared by the parsers of npy and safetensors. It goes forward only and
 * never nests: its callers know the one grammar that their format allows, so no input makes it recurse.
 */
import { FormatError } from "../errors.ts";

/** What a parser refuses content with. */
export type FormatCode = "ASOC_BAD_NPY" | "ASOC_BAD_SAFETENSORS";

/** As many digits as the largest safe integer has. */
const MAX_DIGITS = 16;
/** How much foreign text an error message quotes. */
const QUOTED_LENGTH = 48;

export class TextReader {
  readonly text: string;
  readonly #code: FormatCode;
  readonly #what: string;
  #at = 0;

  /** `what` names the content in messages: "npy header". */
  constructor(text: string, code: FormatCode, what: string) {
    this.text = text;
    this.#code = code;
    this.#what = what;
  }

  /** The index of the next character. */
  get at(): number {
    return this.#at;
  }

  /** Skips the white space of JSON; Python has it too. */
  skipSpace(): void {
    for (;;) {
      const char = this.text.charCodeAt(this.#at);
      if (char !== 0x20 && char !== 0x0a && char !== 0x0d && char !== 0x09) return;
      this.#at++;
    }
  }

  /** Skips white space, then `token` if it is next. Returns whether it was. */
  takes(token: string): boolean {
    this.skipSpace();
    if (!this.text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  /** As `takes`, but throws when something else is next. */
  expect(token: string): void {
    if (!this.takes(token)) throw this.unexpected(JSON.stringify(token));
  }

  /** Throws unless only white space is left. */
  expectEnd(): void {
    this.skipSpace();
    if (this.#at < this.text.length) throw this.unexpected("its end");
  }

  /** Moves on to `at`. */
  moveTo(at: number): void {
    this.#at = at;
  }

  /** Skips white space and reads a safe integer from 0 on: decimal digits, no sign, no leading zero. */
  uint(): number {
    this.skipSpace();
    const start = this.#at;
    let end = start;
    while (isDigit(this.text.charCodeAt(end)) && end - start <= MAX_DIGITS) end++;
    const value = Number(this.text.slice(start, end));
    const leadingZero = end - start > 1 && this.text[start] === "0";
    if (end === start || leadingZero || !Number.isSafeInteger(value))
      throw this.unexpected("an integer from 0 to 2^53 - 1");
    this.#at = end;
    return value;
  }

  /** The error for what is next. */
  unexpected(expected: string): FormatError {
    const next = this.text.slice(this.#at, this.#at + QUOTED_LENGTH);
    return this.refuse(
      `expected ${expected} at character ${this.#at}, got ${next === "" ? "its end" : quote(next)}`,
    );
  }

  /** An error that says `why` this content is refused. */
  refuse(why: string): FormatError {
    return new FormatError(this.#code, `Cannot read ${this.#what}: ${why}`, { details: { at: this.#at } });
  }
}

/** Foreign text for a message: on one line, and short. */
export function quote(text: string): string {
  const head = text.slice(0, QUOTED_LENGTH);
  return JSON.stringify(head) + (head.length < text.length ? "…" : "");
}

function isDigit(char: number): boolean {
  return char >= 0x30 && char <= 0x39;
}
