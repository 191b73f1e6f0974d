/**
 * Access rules (RFC-0103) as users write them, and compiled: the first rule that fits a peer says what it may; where none
 * fits, the default does.
 *
 * What a rule goes by decides how much it is worth: a certificate binds, an address is worth what the network is, and a uuid
 * alone is advice, since any holder of the key can claim it.
 */
import { MAX_ACCESS_RULES, MAX_ACCESS_VALUES } from "../limits.ts";
import { compileGlob, type TopicMatcher } from "../wire/glob.ts";
import { formatNodeId, parseNodeId } from "../wire/node_id.ts";
import { type AddressRange, addressBytes, inRange, parseRange } from "./address_range.ts";

/** Whom a rule is about: of each field that is given one value has to fit. Without any field: everybody. */
export interface AccessMatch {
  /** UUIDs. */
  readonly nodeId?: string | readonly string[] | undefined;
  /** IP addresses and ranges: "10.0.0.0/8", "fd00::/8", "192.0.2.7". */
  readonly address?: string | readonly string[] | undefined;
  /** SHA-256 of the certificate (DER) that the peer shows, in hex, with or without colons. */
  readonly certificate?: string | readonly string[] | undefined;
}

export interface AccessQuota {
  /** Payload bytes that the peer may send here in an hour, and in a day. */
  readonly bytesPerHour?: number | undefined;
  readonly bytesPerDay?: number | undefined;
  /** Tensor memory that it may hold here at once. */
  readonly memoryBytes?: number | undefined;
}

/** One rule. What it does not say is allowed. */
export interface AccessRule {
  /** For logs and listings. Default "rule N". */
  readonly name?: string | undefined;
  readonly match?: AccessMatch | undefined;
  /** False: no session with it, whoever dials. */
  readonly mayConnect?: boolean | undefined;
  /** Whether it may send tensors to this node; or globs of the topics that it may send. */
  readonly maySend?: boolean | readonly string[] | undefined;
  /** Whether tensors may be sent to it; or globs of the topics that may. */
  readonly mayReceive?: boolean | readonly string[] | undefined;
  /** Whether it may ask for copies, of what `tap` grants at all; or globs of them. */
  readonly mayTap?: boolean | readonly string[] | undefined;
  readonly quota?: AccessQuota | undefined;
}

export interface AccessOptions {
  /** What whoever no rule fits may do: everything or nothing. Default "allow". */
  readonly default?: "allow" | "deny" | undefined;
  readonly rules?: readonly AccessRule[] | undefined;
}

/** What a rule goes by, from the strongest: see above. */
export type AccessBinding = "certificate" | "address" | "advisory" | "everyone";

/** Whom a rule is held against. */
export interface Visitor {
  /** Undefined while it is unknown: then no rule by uuid fits. */
  readonly nodeId: string | undefined;
  /** IP address as text. */
  readonly host: string;
  /** Hex; undefined: it showed none. */
  readonly certificate: string | undefined;
}

/** What a peer may do. */
export interface Permissions {
  /** Which rule says so; "default": none fits. */
  readonly rule: string;
  readonly binding: AccessBinding;
  readonly mayConnect: boolean;
  readonly maySend: TopicMatcher;
  readonly mayReceive: TopicMatcher;
  /** Whether a TAP with that glob is granted. */
  readonly mayTap: TopicMatcher;
  readonly quota: AccessQuota;
}

interface Compiled {
  readonly nodeIds: ReadonlySet<string> | undefined;
  readonly certificates: ReadonlySet<string> | undefined;
  readonly ranges: readonly AddressRange[] | undefined;
  readonly permissions: Permissions;
}

const anything: TopicMatcher = () => true;
const nothing: TopicMatcher = () => false;

/** A list of rules, compiled. Never changes: another list is another object. */
export class AccessRules {
  readonly #rules: readonly Compiled[];
  readonly #default: Permissions;

  /** Throws RangeError and TypeError that name the rule and what is wrong with it. */
  constructor(options: AccessOptions = {}) {
    const { default: fallback = "allow", rules = [] } = options;
    if (fallback !== "allow" && fallback !== "deny")
      throw new TypeError(`access.default: expected "allow" or "deny", got ${JSON.stringify(fallback)}`);
    if (rules.length > MAX_ACCESS_RULES)
      throw new RangeError(`access.rules: expected at most ${MAX_ACCESS_RULES}, got ${rules.length}`);
    this.#rules = rules.map(compile);
    const isAllowed = fallback === "allow";
    const topics = isAllowed ? anything : nothing;
    this.#default = {
      rule: "default",
      binding: "everyone",
      mayConnect: isAllowed,
      maySend: topics,
      mayReceive: topics,
      mayTap: topics,
      quota: {},
    };
  }

  /** What there is, without what it grants: for logs. */
  get listing(): readonly { readonly rule: string; readonly binding: AccessBinding }[] {
    return this.#rules.map(({ permissions: { rule, binding } }) => ({ rule, binding }));
  }
  /** Everybody may do everything. */
  get isOpen(): boolean {
    return this.#rules.length === 0 && this.#default.mayConnect;
  }
  get hasQuotas(): boolean {
    return this.#rules.some(({ permissions: { quota } }) =>
      Object.values(quota).some((value) => value !== undefined),
    );
  }

  permissionsOf(visitor: Visitor): Permissions {
    const address = addressBytes(visitor.host);
    return this.#rules.find((rule) => fits(rule, visitor, address))?.permissions ?? this.#default;
  }

  /** Whether anybody at `host` can have a session: what is not known yet may turn out well. */
  mayConnectFrom(host: string): boolean {
    const address = addressBytes(host);
    for (const { nodeIds, certificates, ranges, permissions } of this.#rules) {
      if (!fitsRanges(ranges, address)) continue;
      if (permissions.mayConnect) return true;
      if (!nodeIds && !certificates) return false;
    }
    return this.#default.mayConnect;
  }
}

function fits(rule: Compiled, visitor: Visitor, address: readonly number[] | undefined): boolean {
  const { nodeIds, certificates, ranges } = rule;
  if (nodeIds && !(visitor.nodeId !== undefined && nodeIds.has(visitor.nodeId))) return false;
  if (certificates && !(visitor.certificate !== undefined && certificates.has(visitor.certificate)))
    return false;
  return fitsRanges(ranges, address);
}

function fitsRanges(
  ranges: readonly AddressRange[] | undefined,
  address: readonly number[] | undefined,
): boolean {
  return ranges === undefined || (address !== undefined && ranges.some((range) => inRange(address, range)));
}

function compile(rule: AccessRule, index: number): Compiled {
  const at = `access.rules[${index}]`;
  const { name = `rule ${index + 1}`, match = {}, mayConnect = true, quota = {} } = rule;
  if (typeof name !== "string" || name === "" || name.length > 255)
    throw new TypeError(`${at}.name: expected a text of 1 to 255 characters`);
  const nodeIds = valuesOf(`${at}.match.nodeId`, match.nodeId, (text) => formatNodeId(parseNodeId(text)));
  const certificates = valuesOf(`${at}.match.certificate`, match.certificate, fingerprint);
  const ranges = valuesOf(`${at}.match.address`, match.address, parseRange);
  const binding = certificates ? "certificate" : nodeIds ? "advisory" : ranges ? "address" : "everyone";
  for (const [field, value] of Object.entries(quota))
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
      throw new RangeError(`${at}.quota.${field}: expected a whole number of bytes, got ${String(value)}`);
  return {
    nodeIds: nodeIds && new Set(nodeIds),
    certificates: certificates && new Set(certificates),
    ranges,
    permissions: {
      rule: name,
      binding,
      mayConnect,
      maySend: topicsOf(`${at}.maySend`, rule.maySend, false),
      mayReceive: topicsOf(`${at}.mayReceive`, rule.mayReceive, false),
      mayTap: topicsOf(`${at}.mayTap`, rule.mayTap, true),
      quota,
    },
  };
}

function valuesOf<V>(
  where: string,
  given: string | readonly string[] | undefined,
  read: (text: string) => V,
): V[] | undefined {
  if (given === undefined) return undefined;
  const texts = typeof given === "string" ? [given] : given;
  // An empty list fits nobody, and nobody would write it for that.
  if (texts.length === 0 || texts.length > MAX_ACCESS_VALUES)
    throw new RangeError(`${where}: expected 1 to ${MAX_ACCESS_VALUES} values, got ${texts.length}`);
  return texts.map((text, index) => {
    try {
      return read(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new RangeError(`${where}[${index}]: ${why}`, { cause: error });
    }
  });
}

/** SHA-256 as 64 hex digits in lower case. Throws RangeError. */
export function fingerprint(text: string): string {
  const hex = text.replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex))
    throw new RangeError(`expected the SHA-256 of a certificate, 64 hex digits, got ${JSON.stringify(text)}`);
  return hex;
}

/** `ofTaps`: what is matched is a glob itself, and only the very one, or a topic without a star, is covered. */
function topicsOf(
  where: string,
  given: boolean | readonly string[] | undefined,
  ofTaps: boolean,
): TopicMatcher {
  if (given === undefined || given === true) return anything;
  if (given === false) return nothing;
  if (given.length > MAX_ACCESS_VALUES)
    throw new RangeError(`${where}: expected at most ${MAX_ACCESS_VALUES} globs, got ${given.length}`);
  const globs = new Set(given);
  const matchers = given.map((glob, index) => {
    try {
      return compileGlob(glob);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new RangeError(`${where}[${index}]: ${why}`, { cause: error });
    }
  });
  if (!ofTaps) return (topic) => matchers.some((covers) => covers(topic));
  return (glob) =>
    globs.has("**") || globs.has(glob) || (!glob.includes("*") && matchers.some((covers) => covers(glob)));
}
