/** What TLS adds to a handshake: the proof is bound to the acceptor's certificate, and an id in a certificate must hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AsocError } from "../../../src/core/errors.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import type { ConnTls } from "../../../src/core/runtime.ts";
import { Session } from "../../../src/core/session/session.ts";
import type { SessionEvent } from "../../../src/core/session/session_types.ts";
import { BufferPool } from "../../../src/core/tensor/buffer_pool.ts";
import { makeNodeIdV8 } from "../../../src/core/wire/node_id.ts";
import { testCrypto } from "../../support/core_crypto.ts";

const crypto = testCrypto();
const KEY = new TextEncoder().encode("a key for tests, of more than 128 bits");
const DIALLER = makeNodeIdV8(crypto);
const ACCEPTOR = makeNodeIdV8(crypto);

function session(role: "dialler" | "acceptor", tls: ConnTls | undefined): Session {
  const x1 = { communityHash: new Uint8Array(8), bootEpoch: 1, tensors: true };
  const pool = new BufferPool(DEFAULT_LIMITS);
  const nodeId = role === "dialler" ? DIALLER : ACCEPTOR;
  return new Session(
    { role, nodeId, key: KEY, challenge: 7, limits: DEFAULT_LIMITS, crypto, pool, x1, tls },
    0,
  );
}

/** What both have said when nothing more passes between them. */
function meet(diallerTls: ConnTls | undefined, acceptorTls: ConnTls | undefined) {
  const dialler = session("dialler", diallerTls);
  const acceptor = session("acceptor", acceptorTls);
  const events = new Map<Session, SessionEvent[]>([
    [dialler, []],
    [acceptor, []],
  ]);
  const deliver = (from: Session, to: Session): boolean => {
    const parts: Uint8Array[] = [];
    let any = false;
    while (from.pollTransmit(parts, 0)) {
      for (const part of parts) to.handlePart(part, 0);
      from.handleWritten(0);
      any = true;
    }
    for (let event = from.pollEvent(); event; event = from.pollEvent()) events.get(from)?.push(event);
    return any;
  };
  while (deliver(dialler, acceptor) || deliver(acceptor, dialler));
  const errorOf = (one: Session): AsocError | undefined => {
    const closed = events.get(one)?.find((event) => event.kind === "closed");
    return closed?.kind === "closed" ? closed.error : undefined;
  };
  return { dialler, acceptor, diallerError: errorOf(dialler), acceptorError: errorOf(acceptor) };
}

const tls = (filling: number, more: Partial<ConnTls> = {}): ConnTls => ({
  certificateSha256: new Uint8Array(32).fill(filling),
  protocol: "TLSv1.3",
  ...more,
});

test("sessions open where both sides have seen the same certificate, or neither speaks TLS", () => {
  for (const both of [tls(1), undefined]) {
    const { dialler, acceptor } = meet(both, both);
    assert.ok(dialler.open && acceptor.open);
  }
});

test("PROOF is refused where the sides have seen different certificates, or one of them none", () => {
  for (const [one, other] of [
    [tls(1), tls(2)],
    [tls(1), undefined],
    [undefined, tls(1)],
  ]) {
    const { dialler, acceptor, diallerError } = meet(one, other);
    assert.equal(diallerError?.code, "ASOC_BAD_PROOF");
    assert.ok(!dialler.open && !acceptor.open);
  }
});

test("the one bit that a man in the middle changes in the binding is enough", () => {
  for (let bit = 0; bit < 256; bit++) {
    const other = tls(1);
    const at = bit >>> 3;
    other.certificateSha256[at] = (other.certificateSha256[at] ?? 0) ^ (1 << (bit & 7));
    assert.equal(meet(tls(1), other).diallerError?.code, "ASOC_BAD_PROOF", `bit ${bit}`);
  }
});

test("HELLO and CAPS are refused when a certificate names another node", () => {
  const stranger = makeNodeIdV8(crypto);
  const asDialler = meet(tls(1), tls(1, { peerNodeId: stranger }));
  assert.equal(asDialler.acceptorError?.code, "ASOC_WRONG_IDENTITY");
  const asAcceptor = meet(tls(1, { peerNodeId: stranger }), tls(1));
  assert.equal(asAcceptor.diallerError?.code, "ASOC_WRONG_IDENTITY");
  const right = meet(tls(1, { peerNodeId: ACCEPTOR }), tls(1, { peerNodeId: DIALLER }));
  assert.ok(right.dialler.open && right.acceptor.open);
});
