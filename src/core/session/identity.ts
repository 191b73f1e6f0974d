/** A node id that an authority vouches for, against the one that the wire claims (RFC-0101, section 4). */
import { AuthError } from "../errors.ts";
import type { ConnTls } from "../runtime.ts";
import { equalBytes } from "../wire/bytes.ts";
import { formatNodeId } from "../wire/node_id.ts";

/** Throws ASOC_WRONG_IDENTITY where the other side's certificate is of another node than `claimed`, which `frame` names. */
export function checkIdentity(frame: "HELLO" | "CAPS", claimed: Uint8Array, tls: ConnTls | undefined): void {
  const certified = tls?.peerNodeId;
  if (!certified || equalBytes(certified, claimed)) return;
  const [expected, got] = [formatNodeId(certified), formatNodeId(claimed)];
  throw new AuthError(
    "ASOC_WRONG_IDENTITY",
    `${frame} refused: it says ${got}, the certificate is of ${expected}`,
    { details: { expected, got } },
  );
}
