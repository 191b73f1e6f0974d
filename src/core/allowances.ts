/** What the peers of a node may use of it: memory, on the account of each, and the quotas of its access rules. */
import { formatAddress } from "./address.ts";
import type { Connection } from "./connection.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import type { Link } from "./swarm/swarm.ts";
import type { BufferPool } from "./tensor/buffer_pool.ts";
import { MemoryAccounts } from "./tensor/memory_account.ts";

export class Allowances {
  readonly #accounts: MemoryAccounts;
  readonly #door: Doorkeeper;

  constructor(pool: BufferPool, door: Doorkeeper) {
    this.#accounts = new MemoryAccounts(pool);
    this.#door = door;
  }

  /** A connection is open: its tensors use the memory of its peer. */
  join(connection: Connection, { nodeId, target, remote }: Link): void {
    connection.account = nodeId ?? target?.key ?? formatAddress(remote);
    connection.driver.session.useMemory(this.#accounts.join(connection.account));
  }

  /** A connection has ended. */
  leave({ account }: Connection): void {
    if (account !== undefined) this.#accounts.leave(account);
  }

  /** Quotas as the access rules have them now. */
  useQuotas({ access, account, driver }: Connection): void {
    driver.session.useQuota(this.#door.access.rules.hasQuotas ? access : undefined);
    if (account !== undefined) this.#accounts.cap(account, access.permissions.quota.memoryBytes);
  }
}
