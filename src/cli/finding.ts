/** One finding of `asoc doctor`. */
export type Level = "ok" | "warning" | "problem";

export interface Finding {
  readonly check: string;
  readonly level: Level;
  readonly found: string;
  /** What to do; empty when all is well. */
  readonly advice: string;
}

export function ok(check: string, found: string): Finding {
  return { check, level: "ok", found, advice: "" };
}

export function warning(check: string, found: string, advice: string): Finding {
  return { check, level: "warning", found, advice };
}

export function problem(check: string, found: string, advice: string): Finding {
  return { check, level: "problem", found, advice };
}
