/** What the receiving side of a session asks its node about transfers. */
import type { InboundTensor } from "./inbound_tensor.ts";

/** What the node knows of transfers from the peer of one session, over all its connections. */
export interface TransferBook {
  /** OPEN has come: the broken transfer that goes on with it, "new", or why not. */
  begin(transferId: string): InboundTensor | "new" | "delivered" | "busy";
  /** It is whole and its digest holds. */
  delivered(transferId: string): void;
  /** It will not be whole. */
  gaveUp(transferId: string): void;
}

/** Without the memory of a node every transfer is a new one. */
export const NO_BOOK: TransferBook = { begin: () => "new", delivered: () => {}, gaveUp: () => {} };
