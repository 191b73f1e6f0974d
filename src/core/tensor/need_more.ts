/** The answer of the header decoders, which are called again with more, while the header is not whole. */
export interface NeedMore {
  /** Bytes, beyond those given, without which nothing more can be said; never 0, never beyond the header. */
  readonly needBytes: number;
}

/** Tells the answer from a header. */
export function isNeedMore(result: object): result is NeedMore {
  return "needBytes" in result;
}
