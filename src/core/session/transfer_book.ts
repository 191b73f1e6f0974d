/** What the receiving side of a session asks its node about transfers, and whether OPEN fits to what that says. */
import { sameTensor, type TensorDescription } from "./description.ts";
import { cannotBegin, describedOtherwise } from "./inbound_faults.ts";
import { InboundTensor } from "./inbound_tensor.ts";

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

/**
 * OPEN has come: the broken transfer that goes on with it, or undefined where a new one begins. Throws ASOC_BAD_STREAM where
 * neither can be; a broken transfer does not go on then, and `givenUp` hears of it.
 */
export function beginTransfer(
  book: TransferBook,
  streamId: number,
  description: TensorDescription,
  baseOffset: number,
  givenUp: (known: InboundTensor) => void,
): InboundTensor | undefined {
  const { transferId } = description;
  const found = book.begin(transferId);
  const known = found instanceof InboundTensor ? found : undefined;
  const expected = known?.receivedBytes ?? 0;
  if (found === "delivered" || found === "busy" || baseOffset !== expected) {
    if (known) givenUp(known);
    else if (found === "new") book.gaveUp(transferId);
    const why = found === "delivered" || found === "busy" ? found : "elsewhere";
    throw cannotBegin(streamId, transferId, why, expected, baseOffset);
  }
  if (known && !sameTensor(known.description, description)) {
    givenUp(known);
    throw describedOtherwise(streamId);
  }
  return known;
}
