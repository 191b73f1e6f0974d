/** KEY_NEW and KEY_ACK between two sessions: what is read, and what no attack gets past (RFC-0102, Records). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { keyId } from "../../../src/core/auth/proof.ts";
import type { X1Config } from "../../../src/core/session/negotiation.ts";
import { fromHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { FrameType, HEADER_BYTES } from "../../../src/core/wire/header.ts";
import type { KeyGrant } from "../../../src/core/wire/records/key.ts";
import { encodeControl } from "../../../src/core/wire/records/records.ts";
import { testCrypto } from "../../support/core_crypto.ts";
import { frame } from "../../support/core_frames.ts";
import { type PairOptions, SessionPair, type Side } from "../../support/core_session_pair.ts";

const crypto = testCrypto();
const says = (fields: Partial<X1Config> = {}): X1Config => ({
  communityHash: utf8("the same"),
  bootEpoch: 1,
  tensors: true,
  keyExchange: true,
  rotation: true,
  ...fields,
});
const BOTH: PairOptions = { x1: { dialler: says(), acceptor: says() } };
const SECRET = "the secret of the next key";
const grant = (fields: Partial<KeyGrant> = {}): KeyGrant => {
  const key = utf8(SECRET);
  return { keyId: keyId(key, crypto), epoch: 3, notAfterS: 1_900_000_000, key, ...fields };
};
const grantsOf = (side: Side) =>
  side.events.flatMap((event) => (event.kind === "keyOffered" ? [event.grant] : []));

/** The frames that a side writes while `run` runs. */
function recorded(pair: SessionPair, run: () => void): Uint8Array[] {
  const written: Uint8Array[] = [];
  pair.corrupt = (bytes) => void written.push(bytes.slice());
  run();
  pair.run();
  pair.corrupt = () => {};
  return written;
}

test("a key goes over sealed, and its answer comes back, in either direction", () => {
  for (const from of ["dialler", "acceptor"] as const) {
    const pair = SessionPair.open(BOTH);
    const to = from === "dialler" ? "acceptor" : "dialler";
    const written = recorded(pair, () => pair[from].session.keyChannel?.offer(grant()));
    assert.deepEqual(grantsOf(pair[to]), [grant()]);
    assert.ok(written.every((bytes) => !new TextDecoder().decode(bytes).includes(SECRET.slice(0, 8))));
    pair[to].session.keyChannel?.answer({ keyId: grant().keyId, epoch: 3 });
    pair.run();
    const answer = pair[from].events.find(({ kind }) => kind === "keyAnswered");
    assert.deepEqual(answer, { kind: "keyAnswered", receipt: { keyId: grant().keyId, epoch: 3 } });
  }
});

test("without a key exchange on both sides there is no channel, and a key that comes is skipped", () => {
  for (const x1 of [
    { dialler: says({ keyExchange: false }), acceptor: says() },
    { dialler: says(), acceptor: says({ keyExchange: false }) },
  ]) {
    const pair = SessionPair.open({ x1 });
    assert.equal(pair.dialler.session.keyChannel, undefined);
    assert.equal(pair.acceptor.session.keyChannel, undefined);
    const record = { kind: "key_new", counter: 0, sealed: new Uint8Array(40) } as const;
    pair.inject(pair.dialler, frame(FrameType.CONTROL, 0, 1, encodeControl([record])));
    pair.run();
    assert.deepEqual(grantsOf(pair.acceptor), []);
  }
});

test("a key that is repeated ends the connection in silence, and counts once", () => {
  const pair = SessionPair.open(BOTH);
  const [sealed] = recorded(pair, () => pair.dialler.session.keyChannel?.offer(grant()));
  assert.ok(sealed);
  const again = sealed.slice();
  again[9] = (again[9] ?? 0) + 1; // the next seq of CONTROL, which is not sealed
  pair.inject(pair.dialler, again);
  pair.run();
  assert.equal(grantsOf(pair.acceptor).length, 1);
  assert.equal(pair.acceptor.closedWith(), "ASOC_BAD_KEY_RECORD");
  assert.equal(pair.acceptor.session.lastWords, undefined);
});

test("a key that was sealed for another connection, or for the other direction, is refused", () => {
  const one = SessionPair.open(BOTH);
  const [foreign] = recorded(one, () => one.acceptor.session.keyChannel?.offer(grant()));
  assert.ok(foreign);
  const other = SessionPair.open(BOTH);
  other.inject(other.dialler, frame(FrameType.CONTROL, 0, 2, foreign.subarray(HEADER_BYTES)));
  other.run();
  assert.deepEqual(grantsOf(other.acceptor), []);
  assert.ok(["ASOC_BAD_KEY_RECORD", "ASOC_UNEXPECTED_RECORD"].includes(other.acceptor.closedWith() ?? ""));
});

test("a key of which any bit was changed never comes through", () => {
  const clean = SessionPair.open(BOTH);
  const [sealed] = recorded(clean, () => clean.dialler.session.keyChannel?.offer(grant()));
  const byteCount = sealed?.length ?? 0;
  const flagsAt = HEADER_BYTES + 1; // bits that nobody knows are skipped, and change nothing
  for (let at = HEADER_BYTES; at < byteCount; at++) {
    if (at === flagsAt) continue;
    const pair = SessionPair.open(BOTH);
    pair.corrupt = (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
    };
    pair.dialler.session.keyChannel?.offer(grant());
    pair.run();
    assert.deepEqual(grantsOf(pair.acceptor), [], `byte ${at}`);
  }
});

test("a key whose id is that of another one is refused", () => {
  const pair = SessionPair.open(BOTH);
  pair.dialler.session.keyChannel?.offer(grant({ keyId: fromHex("00000000") }));
  pair.run();
  assert.equal(pair.acceptor.closedWith(), "ASOC_BAD_RECORD");
  assert.deepEqual(grantsOf(pair.acceptor), []);
});
