/**
 * Stands in for `jsr:@std/cli/parse-args` where JSR cannot be reached: the part of its interface that
 * examples/deno_peer.ts uses, on top of node:util.
 */
import { parseArgs as parse } from "node:util";

interface Options {
  readonly string: readonly string[];
  readonly boolean: readonly string[];
  readonly default: Readonly<Record<string, string>>;
}

// biome-ignore lint/suspicious/noExplicitAny: the real function infers this type from its options; the stand-in need not
export function parseArgs(args: readonly string[], options: Options): any {
  const { values, positionals } = parse({
    args: [...args],
    allowPositionals: true,
    options: Object.fromEntries([
      ...options.string.map((name) => [name, { type: "string" }] as const),
      ...options.boolean.map((name) => [name, { type: "boolean", default: false }] as const),
    ]),
  });
  return { _: positionals, ...options.default, ...values };
}
