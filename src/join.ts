/** `join`: checks what users ask for, picks the runtime at hand, and starts the node. */
import type { ResolvedTls, TlsOptions } from "./certs/options.ts";
import type { AccessOptions } from "./core/access/rules.ts";
import { parseAddress } from "./core/address.ts";
import type { AuditListener } from "./core/audit/audit_trail.ts";
import { type KeyEntry, KeyRing } from "./core/auth/key_ring.ts";
import { AsocError, describe } from "./core/errors.ts";
import { entryOf, type KeyOptions, type KeyStore } from "./core/key_options.ts";
import { DEFAULT_LIMITS, type Limits, type Timing } from "./core/limits.ts";
import { AsocNode } from "./core/node.ts";
import type { NodeConfig } from "./core/node_events.ts";
import type { Address, Runtime } from "./core/runtime.ts";
import { compileGlob } from "./core/wire/glob.ts";
import { formatNodeId, makeNodeId, makeNodeIdV8, nameTag, parseNodeId } from "./core/wire/node_id.ts";

export const DEFAULT_COMMUNITY = "default";
/** TCP port of a node that stays; UDP port of the beacons (RFC-0001, Phases). */
export const DEFAULT_PORT = 9000;
export const DEFAULT_DISCOVERY_PORT = 9999;

export interface JoinOptions {
  /** The cluster's name; nodes of another one are not seen. Default "default". */
  readonly community?: string | undefined;
  /** The shared key: text (its UTF-8 bytes count, hex is not decoded) or bytes. `asoc keygen` makes one. */
  readonly apiKey?: string | Uint8Array | undefined;
  /**
   * Several keys in place of `apiKey`: at most 4 that hold at once. The one whose state is "current" signs; all of them are
   * believed (RFC-0102). `node.keys` changes them later.
   */
  readonly keys?: readonly KeyOptions[] | undefined;
  /** Told of every change of the keys, so that it outlives this process. */
  readonly keyStore?: KeyStore | undefined;
  /**
   * Whether keys that a peer's rotation brings are taken. Default "accept": any holder of the key can rotate then. With
   * "refuse" the node has to be given the new key by other means before the old one ends.
   */
  readonly rotation?: "accept" | "refuse" | undefined;
  /** Address to listen on. Default "0.0.0.0"; a loopback address keeps the node on this machine. */
  readonly host?: string | undefined;
  /** TCP port to listen on. Default 0: any free one; a node that static peers must find wants a fixed one, by custom 9000. */
  readonly port?: number | undefined;
  /** A name that others can address the node by; its id carries a tag of it. Not with `nodeId`. */
  readonly name?: string | undefined;
  /** The node's UUID. Default: a random one. */
  readonly nodeId?: string | undefined;
  /** Static peers, "HOST:PORT": dialled now, and again for ever when they are lost. */
  readonly peers?: readonly (string | Address)[] | undefined;
  /** UDP discovery. Default: on without static peers, off with them; true with them is the hybrid mode. */
  readonly discovery?: boolean | undefined;
  /** Default 9999. */
  readonly discoveryPort?: number | undefined;
  /** Overrides of single limits and delays. */
  readonly limits?: Partial<Limits & Timing> | undefined;
  /**
   * Memory of the caller's for a tensor that begins to arrive, chosen before its first byte, so that nothing of it is ever copied.
   * It belongs to the stream until that ends. Undefined: pooled memory.
   */
  readonly memoryFor?: NodeConfig["memoryFor"];
  /**
   * Peers that cannot prove themselves, because they speak only version 1 of the wire: "allow" (the default) or "deny". One
   * that has proven itself once is refused without proof either way (RFC-0100).
   */
  readonly legacy?: "allow" | "deny" | undefined;
  /**
   * TLS 1.3 for every connection of this node, dialled or taken, and none without it. True: `{}`, which is encryption that
   * holders of the shared key alone can set up, without an authority. Default: no TLS.
   */
  readonly tls?: boolean | TlsOptions | undefined;
  /**
   * False: this node only sends or looks. Peers that speak the extension know it when they connect and send it nothing
   * (RFC-0005, section 3.3); what a v0.1 peer sends arrives as ever. Default true.
   */
  readonly takesTensors?: boolean | undefined;
  /** False: speak only version 1 of the wire, as a v0.1 peer does. For measurements and tests. Default true. */
  readonly extension?: boolean | undefined;
  /**
   * Globs of topics of which peers may ask for copies (`node.tap`). A glob is granted if it is one of these, or "**" is, or
   * it has no star and fits one of them. Default: none.
   */
  readonly tap?: readonly string[] | undefined;
  /**
   * Who may do what (RFC-0103). Default: whoever has the key may do everything, but for `tap`. A rule by uuid alone is
   * advice, since any holder of the key can claim one; a rule by certificate binds. `node.setAccess` replaces it.
   */
  readonly access?: AccessOptions | undefined;
  /** Called for each security event from the start on (RFC-0103); `node.audit()` gives the same to whoever comes later. */
  readonly audit?: AuditListener | undefined;
  /**
   * For development: memory of a released tensor is taken away from every view of it, so that what still uses one finds it
   * empty instead of reading the next tensor. Costs no copy, and some speed in JavaScript engines. Default false.
   */
  readonly detachReleased?: boolean | undefined;
}

/**
 * Joins a community: listens, discovers and dials peers. Resolves once the ports are open; `node.peers.wait()`
 * waits for company. `close()` it at the end, or use `await using`.
 *
 * Rejects with ASOC_CONFIG without a key, ASOC_PORT_IN_USE, ASOC_UNREACHABLE for an address this machine
 * does not have; TypeError and RangeError for options that cannot be.
 */
export async function join(options: JoinOptions): Promise<AsocNode> {
  const runtime = await runtimeAtHand();
  const { tls } = options;
  const resolved = tls
    ? await (await import("./certs/mod.ts")).resolveTls(tls === true ? {} : tls)
    : undefined;
  return AsocNode.start(runtime, nodeConfig(options, runtime, resolved));
}

/** The adapter of the runtime that runs this. */
export async function runtimeAtHand(): Promise<Runtime> {
  if ("Deno" in globalThis) return (await import("./runtime/deno/mod.ts")).runtime;
  if ("Bun" in globalThis) return (await import("./runtime/bun/mod.ts")).runtime;
  return (await import("./runtime/node/mod.ts")).runtime;
}

/**
 * A ring of keys by itself, for programs that keep one in a file: `add`, `revoke`, `setCurrent`, `list`, `snapshot`. Throws
 * RangeError on keys that cannot be together.
 */
export async function openKeyRing(keys: readonly KeyOptions[]): Promise<KeyRing> {
  const { crypto, clock } = await runtimeAtHand();
  return new KeyRing(keys.map(entryOf), crypto, clock.unixMs());
}

/** Whether `nodeId` carries the tag of `name` in `community`, so that others can address it by that name. */
export async function carriesName(nodeId: string, community: string, name: string): Promise<boolean> {
  const { crypto } = await runtimeAtHand();
  const id = parseNodeId(nodeId);
  return nameTag(community, name, crypto).every((byte, index) => byte === id[index]);
}

/** A fresh node id, as `join` makes them; with a name it carries that name's tag in `community`. */
export async function newNodeId(
  options: { readonly name?: string | undefined; readonly community?: string | undefined } = {},
): Promise<string> {
  const { crypto } = await runtimeAtHand();
  const { name, community = DEFAULT_COMMUNITY } = options;
  return formatNodeId(makeNodeIdV8(crypto, name === undefined ? undefined : { community, name }));
}

/** The options, checked and completed. */
export function nodeConfig(
  options: JoinOptions,
  runtime: Pick<Runtime, "crypto">,
  tls?: ResolvedTls,
): NodeConfig {
  const { name, memoryFor, keyStore } = options;
  const keys = keysOf(options);
  const community = options.community ?? DEFAULT_COMMUNITY;
  if (options.nodeId !== undefined && name !== undefined) {
    throw new TypeError("name: cannot be given together with nodeId, because a name is carried by the id");
  }
  // Version 8 tells others that this node speaks x1.
  const makeId = options.extension === false ? makeNodeId : makeNodeIdV8;
  const nodeId =
    options.nodeId !== undefined
      ? parseNodeId(options.nodeId)
      : tls?.nodeId !== undefined
        ? parseNodeId(tls.nodeId)
        : makeId(runtime.crypto, name === undefined ? undefined : { community, name });
  const peers = (options.peers ?? []).map((peer) => (typeof peer === "string" ? parseAddress(peer) : peer));
  if (options.legacy !== undefined && options.legacy !== "allow" && options.legacy !== "deny") {
    throw new TypeError(`legacy: expected "allow" or "deny", got ${JSON.stringify(options.legacy)}`);
  }
  if (options.legacy === "deny" && options.extension === false)
    throw new TypeError(
      'legacy: "deny" cannot be together with extension: false, which is without proof itself',
    );
  if (tls) checkTls(options, tls, nodeId);
  return {
    nodeId,
    community,
    keys,
    rotation: options.rotation ?? "accept",
    ...(keyStore ? { keyStore } : {}),
    host: options.host ?? "0.0.0.0",
    port: checkPort("port", options.port ?? 0, 0),
    peers,
    discovery: options.discovery ?? peers.length === 0,
    discoveryPort: checkPort("discoveryPort", options.discoveryPort ?? DEFAULT_DISCOVERY_PORT, 1),
    limits: checkLimits(options.limits ?? {}),
    legacy: options.legacy ?? (tls?.config.verify === "proof" ? "deny" : "allow"),
    tls: tls?.config,
    extension: options.extension ?? true,
    takesTensors: options.takesTensors ?? true,
    tap: checkGlobs("tap", options.tap ?? []),
    detachReleased: options.detachReleased ?? false,
    ...(options.access ? { access: options.access } : {}),
    ...(options.audit ? { audit: options.audit } : {}),
    ...(memoryFor ? { memoryFor } : {}),
  };
}

/** TLS that relies on the proof takes nobody without one; an id that a certificate names is the node's. */
function checkTls(
  options: JoinOptions,
  { config, nodeId: certified }: ResolvedTls,
  nodeId: Uint8Array,
): void {
  if (config.verify === "proof" && options.legacy === "allow")
    throw new TypeError(
      'legacy: "allow" cannot be together with tls.verify: "proof", which rests on the proof that such peers lack',
    );
  if (config.verify === "proof" && options.extension === false)
    throw new TypeError(
      'extension: false cannot be together with tls.verify: "proof", which rests on the extension',
    );
  if (certified !== undefined && formatNodeId(nodeId) !== certified)
    throw new AsocError(
      "ASOC_CONFIG",
      `Cannot join as ${formatNodeId(nodeId)}: this node's certificate is of ${certified}`,
    );
}

function keysOf({ apiKey, keys, rotation }: JoinOptions): readonly KeyEntry[] {
  if (rotation !== undefined && rotation !== "accept" && rotation !== "refuse")
    throw new TypeError(`rotation: expected "accept" or "refuse", got ${JSON.stringify(rotation)}`);
  if (keys !== undefined && apiKey !== undefined)
    throw new TypeError("keys: cannot be given together with apiKey");
  if (keys !== undefined && keys.length > 0) return keys.map(entryOf);
  if (apiKey !== undefined && apiKey.length > 0) return [entryOf({ key: apiKey, state: "current" })];
  throw new AsocError(
    "ASOC_CONFIG",
    "Cannot join: no apiKey was given. `asoc keygen` makes one; every node of the community needs the same",
  );
}

function checkGlobs(name: string, globs: readonly string[]): readonly string[] {
  for (const glob of globs) {
    try {
      compileGlob(glob);
    } catch (error) {
      throw new RangeError(`${name}: ${describe(error)}`, { cause: error });
    }
  }
  return [...globs];
}

function checkPort(name: string, port: number, least: number): number {
  if (Number.isInteger(port) && port >= least && port <= 65_535) return port;
  throw new RangeError(`${name}: expected a whole number from ${least} to 65535, got ${port}`);
}

function checkLimits(overrides: Partial<Limits & Timing>): Limits & Timing {
  for (const [name, value] of Object.entries(overrides)) {
    if (!(name in DEFAULT_LIMITS)) throw new TypeError(`limits.${name}: no such limit`);
    if (typeof value !== "number" || !(value >= 0)) {
      throw new RangeError(`limits.${name}: expected a number from 0, got ${value}`);
    }
  }
  return { ...DEFAULT_LIMITS, ...overrides };
}
