/** One handshake of the extension x1 with fixed nonces and keys, as both sides see it. */
import {
  handshakeSecret,
  keyId,
  makeProof,
  type ProofSecrets,
  roleKey,
  type Transcript,
  transcriptHash,
} from "../../src/core/auth/proof.ts";
import type { Crypto } from "../../src/core/runtime.ts";
import { encodeAccept, makeX1Token } from "../../src/core/wire/accept.ts";
import { communityHash } from "../../src/core/wire/beacon.ts";
import { fromHex, joinBytes, utf8 } from "../../src/core/wire/bytes.ts";
import { encodeHeader, FrameType, HEADER_BYTES } from "../../src/core/wire/header.ts";
import { encodeHello } from "../../src/core/wire/hello.ts";
import type { CapsRecord } from "../../src/core/wire/records/caps.ts";
import { encodeRecord } from "../../src/core/wire/records/records.ts";
import { counting, FULL_CAPS, MINIMAL_CAPS } from "./x1_samples.ts";

export const HANDSHAKE_KEY = "test-secret-key";
export const HANDSHAKE_COMMUNITY = "test-cluster";
export const TOKEN_RANDOM = counting(0xc0, 4);
/** Private keys of RFC 7748, 6.1. */
const DIALLER_PRIVATE = fromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
const ACCEPTOR_PRIVATE = fromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");

export interface FixedHandshake extends Transcript, ProofSecrets {
  readonly token: Uint8Array;
  readonly th: Uint8Array;
  readonly prk: Uint8Array;
  readonly diallerKey: Uint8Array;
  readonly acceptorKey: Uint8Array;
  readonly diallerProof: Uint8Array;
  readonly acceptorProof: Uint8Array;
  readonly diallerPrivateKey: Uint8Array | undefined;
  readonly acceptorPrivateKey: Uint8Array | undefined;
}

export function fixedHandshake(withX25519: boolean, tlsBinding: Uint8Array, crypto: Crypto): FixedHandshake {
  const key = utf8(HANDSHAKE_KEY);
  const token = makeX1Token(key, { ...crypto, randomBytes: () => TOKEN_RANDOM });
  const base = new Uint8Array(32);
  base[0] = 9;
  const shared = {
    communityHash: communityHash(HANDSHAKE_COMMUNITY, crypto),
    keyId: keyId(key, crypto),
  };
  const publicKey = (privateKey: Uint8Array) => (withX25519 ? crypto.x25519(privateKey, base) : undefined);
  const diallerCaps: CapsRecord = {
    ...MINIMAL_CAPS,
    ...shared,
    nonce: counting(0x10, 16),
    publicKey: publicKey(DIALLER_PRIVATE),
  };
  const acceptorCaps: CapsRecord = {
    ...FULL_CAPS,
    ...shared,
    uuid: fromHex("00112233445586778899aabbccddeeff"),
    nonce: counting(0xe0, 16),
    publicKey: publicKey(ACCEPTOR_PRIVATE),
  };
  const transcript: Transcript = {
    helloFrame: frame(
      FrameType.HELLO,
      encodeHello({ nodeId: diallerCaps.uuid, challenge: 0x1234_5678 }, key, crypto),
    ),
    acceptFrame: frame(FrameType.ACCEPT, encodeAccept(token, key, crypto)),
    diallerCaps: encodeRecord(diallerCaps),
    acceptorCaps: encodeRecord(acceptorCaps),
    tlsBinding,
  };
  const secrets: ProofSecrets = {
    key,
    sharedSecret: acceptorCaps.publicKey && crypto.x25519(DIALLER_PRIVATE, acceptorCaps.publicKey),
    diallerNonce: diallerCaps.nonce,
    acceptorNonce: acceptorCaps.nonce,
  };
  const th = transcriptHash(transcript, crypto);
  const prk = handshakeSecret(secrets, crypto);
  return {
    ...transcript,
    ...secrets,
    token,
    th,
    prk,
    diallerKey: roleKey(prk, "dialler", th, crypto),
    acceptorKey: roleKey(prk, "acceptor", th, crypto),
    diallerProof: makeProof(prk, "dialler", th, crypto),
    acceptorProof: makeProof(prk, "acceptor", th, crypto),
    diallerPrivateKey: withX25519 ? DIALLER_PRIVATE : undefined,
    acceptorPrivateKey: withX25519 ? ACCEPTOR_PRIVATE : undefined,
  };
}

function frame(type: number, payload: Uint8Array): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  encodeHeader(header, 0, type, 0, 0, payload.length);
  return joinBytes([header, payload]);
}
