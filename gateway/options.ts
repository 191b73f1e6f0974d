/** What a gateway is made with. */
import type { TokenRecord } from "./access/tokens.ts";
import type { GatewayLimits } from "./limits.ts";

export interface GatewayOptions {
  /** The node's name, where it has one. */
  readonly name?: string | undefined;
  /** True: the gateway itself reads what arrives at the node, and drops it. Default false: the program reads it. */
  readonly takes?: boolean | undefined;
  /** Who may use it. None: everybody who reaches it, and it serves on loopback addresses only. */
  readonly tokens?: readonly TokenRecord[] | undefined;
  /** Names, besides the address it listens on and those of this machine, that requests may address it by. */
  readonly hosts?: readonly string[] | undefined;
  /** Origins of pages that may use it, such as "https://example.org". */
  readonly origins?: readonly string[] | undefined;
  /** Overrides of single limits. */
  readonly limits?: Partial<GatewayLimits> | undefined;
}
