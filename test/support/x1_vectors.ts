/**
 * The golden vectors of the extension x1, as `npm run vectors` writes them to `test/vectors/x1.json`. Nothing in them
 * depends on chance or time: made again they are the same bytes.
 */
import { pbkdf2Sync } from "node:crypto";
import { keyId } from "../../src/core/auth/proof.ts";
import { rotationKeys } from "../../src/core/auth/rotation_keys.ts";
import type { Crypto } from "../../src/core/runtime.ts";
import { isX1Token } from "../../src/core/wire/accept.ts";
import { toHex, utf8 } from "../../src/core/wire/bytes.ts";
import { compileGlob } from "../../src/core/wire/glob.ts";
import { encodeKeyGrant, encodeKeyReceipt, keyNonce } from "../../src/core/wire/records/key.ts";
import { RecordOp } from "../../src/core/wire/records/ops.ts";
import { encodeRecord } from "../../src/core/wire/records/records.ts";
import { fixedHandshake, HANDSHAKE_COMMUNITY, HANDSHAKE_KEY, TOKEN_RANDOM } from "./x1_handshake.ts";
import type { RecordedSession } from "./x1_recorded.ts";
import { REJECTED } from "./x1_rejected.ts";
import { counting, SAMPLES } from "./x1_samples.ts";
import { goldenSessions } from "./x1_session_vector.ts";

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export interface X1Vectors {
  readonly source: string;
  readonly records: readonly { readonly name: string; readonly hex: string; readonly fields: Json }[];
  readonly rejected: readonly { readonly name: string; readonly hex: string; readonly error: string }[];
  readonly keyIds: readonly { readonly key: string; readonly keyId: string }[];
  readonly tokens: readonly { readonly key: string; readonly token: string; readonly isX1: boolean }[];
  readonly handshakes: readonly { readonly [name: string]: Json }[];
  readonly keyRotation: readonly { readonly [name: string]: Json }[];
  readonly derivedKeys: readonly {
    readonly masterKey: string;
    readonly cluster: string;
    readonly key: string;
  }[];
  readonly rotationKeys: readonly { readonly [name: string]: Json }[];
  readonly sessions: readonly RecordedSession[];
  readonly globs: readonly { readonly glob: string; readonly topic: string; readonly fits: boolean }[];
}

/** Byte strings as lower-case hex, maps as objects; what is undefined is left out. */
export function toFields(value: unknown): Json {
  if (value instanceof Uint8Array) return toHex(value);
  if (value instanceof Map) return toFields(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map(toFields);
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, field]) => field !== undefined);
    return Object.fromEntries(entries.map(([name, field]) => [name, toFields(field)]));
  }
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  throw new TypeError(`a field that JSON cannot say: ${String(value)}`);
}

const KEYS = [HANDSHAKE_KEY, "k", "schlüssel", "a3f5b8c9".repeat(8), "x".repeat(100)];

const GLOBS: readonly (readonly [string, string])[] = [
  ["train/loss", "train/loss"],
  ["train/loss", "train/los"],
  ["*", ""],
  ["*", "a/b"],
  ["train/*", "train/"],
  ["train/*", "train"],
  ["train/*", "train/a/b"],
  ["train/*/w", "train/layer1/w"],
  ["**", "a/b/c"],
  ["train/**", "train/a/b"],
  ["**/loss", "loss"],
  ["a/**/z", "a/z"],
  ["a/**/z", "a/b/c/z"],
  ["a***z", "a/b/z"],
  ["a?c", "abc"],
  ["*größe", "train-größe"],
  ["*a*a*a*a*b", "a".repeat(100)],
];

export function makeX1Vectors(crypto: Crypto): X1Vectors {
  return {
    source:
      "made by this project's own codecs; all integers big-endian, byte strings lower-case hex, keys as text; " +
      "records and rejected are CONTROL payloads; fields that are not there are left out; a frame of a session whose " +
      "hex ends with its header has the bytes of its tail as payload, byte i of each tensor being (3 + 7 i) mod 256",
    records: SAMPLES.map(({ name, record }) => ({
      name,
      hex: toHex(encodeRecord(record)),
      fields: toFields(record),
    })),
    rejected: REJECTED.map(({ name, payload, error }) => ({ name, hex: toHex(payload), error })),
    keyIds: KEYS.map((key) => ({ key, keyId: toHex(keyId(utf8(key), crypto)) })),
    tokens: tokens(crypto),
    handshakes: handshakes(crypto),
    keyRotation: keyRotation(crypto),
    derivedKeys: derivedKeys(),
    rotationKeys: rotationKeysOf(crypto),
    sessions: goldenSessions(),
    globs: GLOBS.map(([glob, topic]) => ({ glob, topic, fits: compileGlob(glob)(topic) })),
  };
}

function tokens(crypto: Crypto): X1Vectors["tokens"] {
  const { token } = fixedHandshake(false, new Uint8Array(0), crypto);
  const other = Uint8Array.of(...TOKEN_RANDOM, 0, 0, 0, 0);
  return [
    ...KEYS.map((key) => ({ key, token })),
    { key: HANDSHAKE_KEY, token: other },
    { key: HANDSHAKE_KEY, token: counting(0, 8) },
  ].map((one) => ({
    key: one.key,
    token: toHex(one.token),
    isX1: isX1Token(one.token, utf8(one.key), crypto),
  }));
}

function handshakes(crypto: Crypto): X1Vectors["handshakes"] {
  const nothing = new Uint8Array(0);
  const certificate = crypto.sha256(utf8("a certificate"));
  const cases = [
    ["without X25519, without TLS", fixedHandshake(false, nothing, crypto)],
    ["with X25519, without TLS", fixedHandshake(true, nothing, crypto)],
    ["with X25519, with TLS", fixedHandshake(true, certificate, crypto)],
  ] as const;
  return cases.map(([name, { key: _, ...handshake }]) => {
    const fields = toFields(handshake);
    return {
      name,
      key: HANDSHAKE_KEY,
      community: HANDSHAKE_COMMUNITY,
      ...(fields as { [name: string]: Json }),
    };
  });
}

function keyRotation(crypto: Crypto): X1Vectors["keyRotation"] {
  const rotationKey = counting(0x30, 32);
  const id = keyId(utf8("the next key"), crypto);
  const grant = { keyId: id, epoch: 2, notAfterS: 1_767_225_600, key: utf8("the next key") };
  const cases = [
    ["key_new", RecordOp.KEY_NEW, 0, encodeKeyGrant(grant), grant],
    [
      "key_new",
      RecordOp.KEY_NEW,
      1,
      encodeKeyGrant({ ...grant, notAfterS: undefined }),
      { ...grant, notAfterS: undefined },
    ],
    ["key_ack", RecordOp.KEY_ACK, 2, encodeKeyReceipt(grant), { keyId: id, epoch: 2 }],
  ] as const;
  return cases.map(([kind, op, counter, plaintext, fields]) => {
    const nonce = keyNonce(counter);
    const sealed = crypto.aes256GcmSeal(rotationKey, nonce, plaintext, Uint8Array.of(op));
    return {
      rotationKey: toHex(rotationKey),
      counter,
      nonce: toHex(nonce),
      plaintext: toHex(plaintext),
      fields: toFields(fields),
      hex: toHex(encodeRecord({ kind, counter, sealed })),
    };
  });
}

/** PBKDF2 as any library has it: not the code under test. */
function derivedKeys(): X1Vectors["derivedKeys"] {
  const cases = [
    ["the master key of the vectors", "lab"],
    ["the master key of the vectors", "größer"],
    ["a3f5b8c9".repeat(8), "default"],
  ] as const;
  return cases.map(([masterKey, cluster]) => {
    const key = pbkdf2Sync(masterKey, `asoc/cluster/${cluster}`, 600_000, 32, "sha256").toString("hex");
    return { masterKey, cluster, key };
  });
}

/** What seals keys in a session with that PRK. */
function rotationKeysOf(crypto: Crypto): X1Vectors["rotationKeys"] {
  const prk = counting(0x50, 32);
  const { own, theirs } = rotationKeys(prk, "dialler", crypto);
  return [{ prk: toHex(prk), dialler: toHex(own), acceptor: toHex(theirs) }];
}

/** As it stands in the file. */
export function vectorsText(vectors: X1Vectors): string {
  return `${JSON.stringify(vectors, null, 1)}\n`;
}
