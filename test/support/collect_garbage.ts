/** What a process still holds is seen only when what it does not hold is gone. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const { Bun } = globalThis as { readonly Bun?: { gc(force: boolean): void } };

/** Collects all garbage of this process now, on each runtime. */
export function collectGarbage(): void {
  if (Bun) {
    Bun.gc(true);
    return;
  }
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  gc();
}
