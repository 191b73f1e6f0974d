/** What is fuzzed, and what counts as a fault. */
import { AsocError } from "../../src/core/errors.ts";
import type { FuzzRandom } from "./random.ts";

/** What an input has led to. */
export interface Outcome {
  /** Names the way that it took; an input with a new one is kept, and mutated further. */
  readonly label: string;
  /** All that was read, for a comparison with a second run; undefined: nothing was. */
  readonly detail?: () => string;
}

export interface FuzzTarget {
  readonly name: string;
  /** Of 1000 inputs of all targets together, how many are for this one. */
  readonly share: number;
  readonly seeds: readonly Uint8Array[];
  /** An input that knows the grammar; undefined: seeds are mutated only. */
  readonly make?: (random: FuzzRandom, pick: () => Uint8Array) => Uint8Array;
  /** May be given memory within a larger buffer, and must not change it. Throws what is a fault. */
  readonly run: (input: Uint8Array) => Outcome | Promise<Outcome>;
  /** Called when all its inputs are done: throws where something is left of them. */
  readonly finish?: () => void;
}

/** Something that must not be, whatever came. */
export class FuzzFault extends Error {
  override readonly name = "FuzzFault";
}

export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new FuzzFault(what);
}

const MAX_MESSAGE = 1000;

/** The label of a refusal; throws what is none: an error that is not ours, or whose message is as long as the input. */
export function refusal(error: unknown, alsoAllowed?: (error: unknown) => boolean): Outcome {
  if (error instanceof AsocError) {
    must(error.message.length <= MAX_MESSAGE, `a message of ${error.message.length} characters`);
    return { label: `${error.code} ${shapeOf(error.message)}` };
  }
  if (!(error instanceof FuzzFault) && error instanceof Error && alsoAllowed?.(error))
    return { label: `${error.name} ${shapeOf(error.message)}` };
  throw error;
}

/** A message without what the input has put into it. */
function shapeOf(message: string): string {
  return message.replace(/"(?:[^"\\]|\\.)*"?|[0-9a-f-]{6,}|\d+/g, "#").slice(0, 60);
}

/** Anything decoded as text, bytes as hex: equal text is equal content. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => {
    if (each instanceof Uint8Array)
      return Buffer.from(each.buffer, each.byteOffset, each.length).toString("hex");
    if (each instanceof Map) return [...each];
    if (typeof each === "bigint") return `${each}n`;
    return each;
  });
}
