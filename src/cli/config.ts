/**
 * The settings of a node: from flags, then from the environment, then defaults, each value checked with zod.
 *
 * An error names the flag or variable, what it wants, and what it got.
 */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { z } from "zod";
import {
  type Address,
  compileGlob,
  DEFAULT_COMMUNITY,
  DEFAULT_DISCOVERY_PORT,
  type KeyOptions,
  MAX_TOPIC_BYTES,
  MAX_USER_METADATA_BYTES,
  parseAddress,
  parseNodeId,
} from "../mod.ts";
import type { Args } from "./args.ts";
import { usageError } from "./exit_codes.ts";
import { type Environment, type KeySource, loadKey, reason } from "./key.ts";
import { SINK_FORMATS } from "./tensor_format.ts";
import { type TlsSettings, tlsSettings } from "./tls.ts";

/** All that joining needs, checked. */
export interface NodeSettings {
  readonly community: string;
  /** The key that signs. */
  readonly key: Uint8Array;
  /** All keys, and where they came from. */
  readonly keys: readonly KeyOptions[];
  readonly keySource: KeySource;
  readonly host: string;
  readonly port: number;
  /** What named the port, for an error about it. */
  readonly portSource: string;
  readonly name: string | undefined;
  readonly nodeId: string | undefined;
  readonly stateDir: string | undefined;
  readonly peers: readonly Address[];
  /** On unless static peers were given, or as the flags say. */
  readonly discovery: boolean;
  /** A flag says so. */
  readonly discoveryChosen: boolean;
  readonly discoveryPort: number;
  /** See `openAuditLog`. */
  readonly auditLog: string | undefined;
  readonly accessFile: string | undefined;
  readonly legacy: "allow" | "deny" | undefined;
  readonly rotation: "accept" | "refuse" | undefined;
  /** Globs that peers may tap. */
  readonly tap: readonly string[];
  /** Undefined: connections are not encrypted. */
  readonly tls: TlsSettings | undefined;
  readonly warnings: readonly string[];
}

const MAX_PORT = 65_535;
const MAX_NAME_CHARACTERS = 255;
const MAX_PRIORITY = 255;
/** Milliseconds of an OPEN are 32 bits. */
const MAX_DEADLINE_S = 4_294_967;

const line = z
  .string()
  .min(1)
  .max(MAX_NAME_CHARACTERS)
  .regex(/^[^\p{Cc}]*$/u);
const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);

/** What single settings want; the description is the "expected …" of their errors. */
/** What can be given as text, by kind: see `check`. */
export const SCHEMAS = {
  community: line.describe(`a name of 1 to ${MAX_NAME_CHARACTERS} characters`),
  name: line.describe(`a name of 1 to ${MAX_NAME_CHARACTERS} characters`),
  host: z
    .string()
    .regex(/^[^\s/@]+$/)
    .describe("an IP address or a host name of this machine"),
  port: wholeNumber.refine((port) => port <= MAX_PORT).describe(`a whole number from 0 to ${MAX_PORT}`),
  discoveryPort: wholeNumber
    .refine((port) => port >= 1 && port <= MAX_PORT)
    .describe(`a whole number from 1 to ${MAX_PORT}`),
  nodeId: z.string().refine(succeeds(parseNodeId)).describe("a UUID"),
  address: z.string().refine(succeeds(parseAddress)).transform(parseAddress).describe("HOST:PORT"),
  path: z.string().min(1).describe("a path"),
  count: wholeNumber
    .refine((count) => count >= 1 && count <= 1_000_000_000)
    .describe("a whole number from 1"),
  seconds: z
    .string()
    .regex(/^\d{1,9}(\.\d{1,9})?$/)
    .transform(Number)
    .describe("a number of seconds"),
  duration: z
    .string()
    .regex(/^\d{1,9}(\.\d{1,3})?(s|m|h|d)?$/)
    .transform(durationMs)
    .describe("a time such as 90s, 15m, 24h or 7d"),
  date: z
    .string()
    .refine((text) => !Number.isNaN(Date.parse(text)))
    .transform((text) => Date.parse(text))
    .describe("a date such as 2027-01-31 or 2027-01-31T12:00:00Z"),
  deadline: z
    .string()
    .regex(/^\d{1,9}(\.\d{1,9})?$/)
    .transform(Number)
    .refine((seconds) => seconds >= 0.001 && seconds <= MAX_DEADLINE_S)
    .describe(`a number of seconds from 0.001 to ${MAX_DEADLINE_S}`),
  priority: wholeNumber
    .refine((priority) => priority <= MAX_PRIORITY)
    .describe(`a whole number from 0 to ${MAX_PRIORITY}`),
  topic: z
    .string()
    .min(1)
    .refine((topic) => topic.isWellFormed() && Buffer.byteLength(topic) <= MAX_TOPIC_BYTES)
    .describe(`a text of 1 to ${MAX_TOPIC_BYTES} bytes`),
  legacy: z.enum(["allow", "deny"]).describe("allow or deny"),
  rotation: z.enum(["accept", "refuse"]).describe("accept or refuse"),
  ipAddress: z
    .string()
    .refine((text) => isIP(text) !== 0)
    .describe("an IP address"),
  fingerprint: z
    .string()
    .transform((text) => text.replaceAll(":", "").toLowerCase())
    .refine((hex) => /^[0-9a-f]{64}$/.test(hex))
    .describe("the SHA-256 of a certificate, 64 hex digits"),
  glob: z.string().min(1).refine(succeeds(compileGlob)).describe("a glob of topics, such as layers/*"),
  digest: z.enum(["crc32", "sha256", "none"]).describe("crc32, sha256 or none"),
  json: z
    .string()
    .refine(succeeds(JSON.parse))
    .transform((text): unknown => JSON.parse(text))
    .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= MAX_USER_METADATA_BYTES)
    .describe(`JSON of at most ${MAX_USER_METADATA_BYTES} bytes`),
  format: z.enum(SINK_FORMATS).describe(`${SINK_FORMATS.slice(0, -1).join(", ")} or ${SINK_FORMATS.at(-1)}`),
} as const;

/** Without a unit: seconds. */
function durationMs(text: string): number {
  const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };
  return Number.parseFloat(text) * 1000 * (units[text.at(-1) ?? ""] ?? 1);
}

function succeeds(parse: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      parse(text);
      return true;
    } catch {
      return false;
    }
  };
}

/** `text` as `kind` wants it. Throws a usage error that names `source`. */
export function check<K extends keyof typeof SCHEMAS>(
  kind: K,
  source: string,
  text: string,
): z.output<(typeof SCHEMAS)[K]> {
  const schema: z.ZodType<unknown> = SCHEMAS[kind];
  const result = schema.safeParse(text);
  if (!result.success)
    throw usageError(`${source}: expected ${schema.description}, got ${JSON.stringify(text)}`);
  return result.data as z.output<(typeof SCHEMAS)[K]>; // the schema is SCHEMAS[kind]
}

/** The flag's value, checked, or undefined when it was not given. */
export function flag<K extends keyof typeof SCHEMAS>(
  kind: K,
  args: Args,
  name: string,
): z.output<(typeof SCHEMAS)[K]> | undefined {
  const text = args.text(name);
  return text === undefined ? undefined : check(kind, `--${name}`, text);
}

/** A value and what named it. An empty variable counts as not set. */
function pick(args: Args, flagName: string, env: Environment, variable: string | undefined) {
  const text = args.text(flagName);
  if (text !== undefined) return { source: `--${flagName}`, text };
  const value = variable === undefined ? undefined : env[variable];
  return variable !== undefined && value ? { source: variable, text: value } : undefined;
}

/**
 * The settings of a command that joins, `defaultPort` being its own. Reads the key and the peers files.
 * Throws a usage error.
 */
export async function nodeSettings(args: Args, env: Environment, defaultPort: number): Promise<NodeSettings> {
  const community = pick(args, "community", env, "ASOC_COMMUNITY");
  const host = pick(args, "host", env, "ASOC_HOST");
  const port = pick(args, "port", env, "ASOC_PORT");
  const discoveryPort = pick(args, "discovery-port", env, "ASOC_DISCOVERY_PORT");
  if (args.has("node-id") && args.has("name")) {
    throw usageError("--name: cannot be given together with --node-id, because a name is carried by the id");
  }
  if (args.has("discovery") && args.has("no-discovery")) {
    throw usageError("--discovery: cannot be given together with --no-discovery");
  }
  const settings = {
    community: community ? check("community", community.source, community.text) : DEFAULT_COMMUNITY,
    host: host ? check("host", host.source, host.text) : "0.0.0.0",
    port: port ? check("port", port.source, port.text) : defaultPort,
    portSource: port?.source ?? "--port",
    name: flag("name", args, "name"),
    nodeId: flag("nodeId", args, "node-id"),
    stateDir: flag("path", args, "state-dir"),
    discovery: args.has("discovery") || !(args.has("no-discovery") || hasStaticPeers(args, env)),
    discoveryChosen: args.has("discovery") || args.has("no-discovery"),
    discoveryPort: discoveryPort
      ? check("discoveryPort", discoveryPort.source, discoveryPort.text)
      : DEFAULT_DISCOVERY_PORT,
    peers: await staticPeers(args, env),
    auditLog: flag("path", args, "audit-log"),
    accessFile: flag("path", args, "access"),
    legacy: flag("legacy", args, "legacy"),
    rotation: flag("rotation", args, "rotation"),
    tap: args.list("tap").map((glob) => check("glob", "--tap", glob)),
    tls: await tlsSettings(args, env),
  };
  const keyFile = flag("path", args, "api-key-file");
  const { key, keys, from, warnings } = await loadKey(keyFile, env, flag("path", args, "key-ring"));
  return { ...settings, key, keys, keySource: from, warnings };
}

function hasStaticPeers(args: Args, env: Environment): boolean {
  return args.has("peers") || args.has("peers-file") || Boolean(env.ASOC_PEERS);
}

/** --peers and --peers-file together; ASOC_PEERS where neither was given. */
async function staticPeers(args: Args, env: Environment): Promise<Address[]> {
  const peers: Address[] = [];
  for (const text of args.list("peers")) peers.push(...listOf("--peers", text));
  for (const path of args.list("peers-file")) peers.push(...(await peersOfFile(path)));
  const variable = env.ASOC_PEERS;
  if (!args.has("peers") && !args.has("peers-file") && variable)
    peers.push(...listOf("ASOC_PEERS", variable));
  return peers;
}

function listOf(source: string, text: string): Address[] {
  const entries = text.split(",").map((entry) => entry.trim());
  const addresses = entries.filter((entry) => entry !== "").map((entry) => check("address", source, entry));
  if (addresses.length === 0)
    throw usageError(`${source}: expected HOST:PORT,..., got ${JSON.stringify(text)}`);
  return addresses;
}

async function peersOfFile(path: string): Promise<Address[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw usageError(`--peers-file: expected a readable file, got ${path} (${reason(error)})`);
  }
  return parsePeers(path, text);
}

/** The addresses of the text of a peers file: one a line, # begins a comment. Throws a usage error. */
export function parsePeers(path: string, text: string): Address[] {
  const addresses: Address[] = [];
  for (const [index, entry] of text.split(/\r?\n/).entries()) {
    const address = entry.replace(/#.*/, "").trim();
    if (address !== "") addresses.push(check("address", `--peers-file ${path} line ${index + 1}`, address));
  }
  return addresses;
}
