/** What the peers of one node may do now: its rules, which can be replaced, and what each peer has used of its quotas. */
import { addressKey } from "../auth/admission.ts";
import { Quotas } from "./quotas.ts";
import { type AccessOptions, AccessRules, type Permissions, type Visitor } from "./rules.ts";

export class Access {
  readonly #nowMs: () => number;
  readonly #quotas: Quotas;
  #rules: AccessRules;

  /** `options` that cannot be throw RangeError or TypeError. */
  constructor(options: AccessOptions | undefined, maxQuotaPeers: number, nowMs: () => number) {
    this.#rules = new AccessRules(options);
    this.#quotas = new Quotas(maxQuotaPeers);
    this.#nowMs = nowMs;
  }

  get rules(): AccessRules {
    return this.#rules;
  }

  /** Other rules from now on; what quotas have counted stays. Throws what `AccessRules` throws, and keeps the old ones. */
  replace(options: AccessOptions): void {
    this.#rules = new AccessRules(options);
  }

  /** `visitor` is asked for whoever it is at the time. */
  peer(visitor: () => Visitor): PeerAccess {
    return new PeerAccess(this, this.#quotas, this.#nowMs, visitor);
  }
}

/** What one connection's peer may do; it learns of other rules, and of a uuid that becomes known. */
export class PeerAccess {
  readonly #access: Access;
  readonly #quotas: Quotas;
  readonly #nowMs: () => number;
  readonly #visitor: () => Visitor;
  #rules: AccessRules | undefined;
  #nodeId: string | undefined;
  #permissions: Permissions | undefined;

  constructor(access: Access, quotas: Quotas, nowMs: () => number, visitor: () => Visitor) {
    this.#access = access;
    this.#quotas = quotas;
    this.#nowMs = nowMs;
    this.#visitor = visitor;
  }

  get visitor(): Visitor {
    return this.#visitor();
  }

  get permissions(): Permissions {
    const { rules } = this.#access;
    const visitor = this.#visitor();
    if (!this.#permissions || this.#rules !== rules || this.#nodeId !== visitor.nodeId) {
      this.#rules = rules;
      this.#nodeId = visitor.nodeId;
      this.#permissions = rules.permissionsOf(visitor);
    }
    return this.#permissions;
  }

  /** Bytes that it may still send; Infinity: no quota. */
  get bytesLeft(): number {
    const { quota } = this.permissions;
    return this.#quotas.left(this.#key, quota, this.#nowMs());
  }

  /** A frame of a tensor has come: false, and it does not count, where its quota has no room for it. */
  take(byteCount: number): boolean {
    const { quota } = this.permissions;
    if (quota.bytesPerHour === undefined && quota.bytesPerDay === undefined) return true;
    return this.#quotas.take(this.#key, byteCount, quota, this.#nowMs());
  }

  /** Who shares a quota: by what the rule goes by, so that another uuid is no way round one that goes by addresses. */
  get #key(): string {
    const { rule, binding } = this.permissions;
    const { nodeId, host, certificate } = this.#visitor();
    const who = binding === "certificate" ? certificate : binding === "advisory" ? nodeId : addressKey(host);
    return `${rule}/${who ?? addressKey(host)}`;
  }
}
