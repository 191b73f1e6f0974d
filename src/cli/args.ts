/** Flags: how a command declares them, and how the words of a command line become their values. */
import { parseArgs } from "node:util";
import { usageError } from "./exit_codes.ts";

/** One flag. A flag without `value` is a switch. */
export interface FlagSpec {
  /** Placeholder of its value in the help, such as "FILE". */
  readonly value?: string;
  /** What the flag stands for without a value: then it may be left out, where another flag or nothing follows. */
  readonly optional?: string;
  /** Its value stands behind "=" or is left out. */
  readonly inline?: boolean;
  /** May be given again and again. */
  readonly multiple?: boolean;
  readonly short?: string;
  readonly help: string;
}
export type Flags = Readonly<Record<string, FlagSpec>>;

/** Those of TLS; `tls.ts` reads them. */
export const TLS_FLAGS: Flags = {
  tls: {
    value: "MODE",
    optional: "",
    inline: true,
    help: "TLS 1.3 and nothing else; how peers are verified: proof (of the key, default), pin, ca, none",
  },
  "tls-cert": {
    value: "FILE",
    help: "PEM to show, read at the start (default ~/.asoc/certs/node.pem, made at the first use)",
  },
  "tls-key": { value: "FILE", help: "its key, where it is not in that file" },
  "tls-ca": { value: "FILE", multiple: true, help: "authority for ca (default ~/.asoc/certs/ca.crt)" },
  "tls-pin": { value: "SHA256", multiple: true, help: "a certificate for pin; asoc certs show prints it" },
  "tls-client-cert": { help: "refuse who dials without a certificate that passes" },
  "tls-dir": { value: "DIR", help: "folder of certificates instead of ~/.asoc/certs" },
};

/** The flags of every command that joins a community. */
export const JOIN_FLAGS: Flags = {
  community: { value: "NAME", help: 'the community to join (default "default")' },
  "api-key-file": { value: "FILE", help: "file that holds the shared key" },
  "key-ring": { value: "FILE", help: "file that holds several keys (see asoc key); not with --api-key-file" },
  host: { value: "ADDRESS", help: "address to listen on (default 0.0.0.0)" },
  port: {
    value: "PORT",
    help: "TCP port to listen on; 0: any free one (default 9000 for serve and doctor, else 0)",
  },
  name: { value: "NAME", help: "a name that others can address this node by" },
  "node-id": { value: "UUID", help: "this node's id (default: random); not with --name" },
  "state-dir": { value: "DIR", help: "keep the node id in DIR, so that it stays the same" },
  peers: { value: "HOST:PORT,...", multiple: true, help: "static peers; discovery is off then" },
  "peers-file": {
    value: "FILE",
    multiple: true,
    help: "the same from a file: one a line, # begins a comment",
  },
  discovery: { help: "find nodes by beacons although there are static peers" },
  "no-discovery": { help: "neither send beacons nor listen to them" },
  "discovery-port": { value: "PORT", help: "UDP port of the beacons, the same on all nodes (default 9999)" },
  "audit-log": {
    value: "WHERE",
    help: "security events to a FILE, - (standard output), syslog or syslog://HOST",
  },
  access: { value: "FILE", help: "who may do what, as JSON (RFC-0103); SIGHUP reads it again" },
  legacy: {
    value: "allow|deny",
    help: "whether to let in peers of version 0.1, which cannot prove the key (default allow)",
  },
  rotation: {
    value: "accept|refuse",
    help: "whether to take new keys from peers that rotate (default accept; see asoc key)",
  },
  tap: {
    value: "GLOB",
    multiple: true,
    help: "topics that peers may ask copies of, such as 'kv/**' (default: none)",
  },
  ...TLS_FLAGS,
};

/** The flags of every command. */
export const COMMON_FLAGS: Flags = {
  json: { help: "one JSON object a line on standard output" },
  help: { short: "h", help: "show this help" },
};

/** Flags people may try that do not exist on purpose, with what to do instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  "api-key":
    "a key on the command line can be read by every user of the machine; use ASOC_API_KEY or --api-key-file FILE",
  keys: "use ASOC_API_KEY, --api-key-file FILE or --key-ring FILE",
  key: "use ASOC_API_KEY or --api-key-file FILE",
};

/** The values that were given. */
export class Args {
  readonly positionals: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>, positionals: readonly string[]) {
    this.#values = values;
    this.positionals = positionals;
  }

  /** Whether the flag was given. */
  has(flag: string): boolean {
    return this.#values.has(flag);
  }
  /** Its value; the last one counts. */
  text(flag: string): string | undefined {
    return this.#values.get(flag)?.at(-1);
  }
  /** All its values in order. */
  list(flag: string): readonly string[] {
    return this.#values.get(flag) ?? [];
  }
}

/**
 * Reads the words that follow the command's name. The messages are our own, and so the same on all runtimes.
 * Throws a usage error that names the flag.
 */
export function readArgs(command: string, flags: Flags, words: readonly string[]): Args {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { value, short }]) => [
      name,
      { type: value === undefined ? ("boolean" as const) : ("string" as const), ...(short ? { short } : {}) },
    ]),
  );
  const { tokens } = parseArgs({
    args: withOptionalValues(flags, words),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const spec = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (!spec) throw usageError(unknownFlag(command, token.rawName, token.name));
    if (spec.value === undefined) {
      if (token.value !== undefined) {
        throw usageError(`${token.rawName}: takes no value, got ${JSON.stringify(token.value)}`);
      }
      values.set(token.name, []);
      continue;
    }
    const { value, inlineValue } = token;
    // A flag that follows was meant as a flag, not as the value that somebody forgot; "-" alone is a value.
    const forgotten = value === undefined || (!inlineValue && value.startsWith("-") && value !== "-");
    if (forgotten) throw usageError(`${token.rawName}: expected ${spec.value}, got ${value ?? "nothing"}`);
    if (values.has(token.name) && !spec.multiple) {
      throw usageError(`${token.rawName}: was given twice, expected it once`);
    }
    values.set(token.name, [...(values.get(token.name) ?? []), value]);
  }
  return new Args(values, positionals);
}

/** Gives flags whose value may be left out the one that they stand for then. */
function withOptionalValues(flags: Flags, words: readonly string[]): string[] {
  return words.map((word, index) => {
    const spec =
      word.startsWith("--") && Object.hasOwn(flags, word.slice(2)) ? flags[word.slice(2)] : undefined;
    const next = words[index + 1];
    const isAlone = spec?.inline === true || next === undefined || next.startsWith("-");
    const isBare = spec?.optional !== undefined && isAlone;
    return isBare ? `${word}=${spec.optional}` : word;
  });
}

function unknownFlag(command: string, raw: string, name: string): string {
  const instead = Object.hasOwn(INSTEAD, name) ? INSTEAD[name] : undefined;
  if (instead) return `${raw}: there is no such flag: ${instead}`;
  return `${raw}: unknown flag; see asoc ${command} --help`;
}
