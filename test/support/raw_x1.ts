/**
 * The extension x1 over a raw connection, right or wrong: written from RFC-0004, RFC-0005 and RFC-0100 alone, and sharing no
 * code with the implementation, so that an adversary in the tests can say what no node of ours would.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import { accept, frame, freshId, freshSource, hello, RawPeer, TYPE } from "./raw_peer.ts";
import { type ExchangeKey, exchanged } from "./raw_x25519.ts";

export const OP = {
  CAPS: 0x01,
  PROOF: 0x02,
  OPEN: 0x10,
  CLOSE: 0x11,
  RESET: 0x12,
  STOP: 0x13,
  CREDIT: 0x20,
  ACK: 0x22,
  RESUME_QUERY: 0x23,
  RESUME_ANSWER: 0x24,
  PING: 0x30,
  PONG: 0x31,
  GOAWAY: 0x32,
  ERROR: 0x33,
  AGENT: 0x34,
  KEY_NEW: 0x40,
  KEY_ACK: 0x41,
  TAP: 0x50,
} as const;

const NOTHING = Buffer.alloc(0);
const HEADER_BYTES = 14;
const KEY_TEXT_ID = "asoc/key id";
/** Bits of CAPS. */
const TENSORS = 1;
const ROTATION = 2;

function mac(key: string | Uint8Array, message: string | Uint8Array): Buffer {
  return createHmac("sha256", key).update(message).digest();
}

export function u8(value: number): Buffer {
  return Buffer.of(value);
}
export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** One record from op to the end of its body. `announced` may lie about the length of the body. */
export function record(
  op: number,
  body: Uint8Array = NOTHING,
  options: { critical?: boolean; announced?: number } = {},
): Buffer {
  const head = Buffer.concat([u8(op), u8(options.critical ? 1 : 0), u16(options.announced ?? body.length)]);
  return Buffer.concat([head, body]);
}

export interface CapsFields {
  readonly id: Uint8Array;
  readonly key: string;
  readonly community: string;
  readonly nonce?: Uint8Array;
  readonly initialCredit?: number;
  readonly bootEpoch?: number;
  /** Bits; default: tensor streams. */
  readonly capabilities?: number;
  /** Further bytes at the end: TLVs, or what is none. */
  readonly more?: Uint8Array;
}

/** A CAPS record that offers tensor streams, and what `more` adds. */
export function caps(fields: CapsFields): Buffer {
  const fixed = [
    Buffer.concat([
      u8(1),
      u8(12),
      u16(4096),
      u32(16 * 2 ** 20),
      u32(fields.initialCredit ?? 2 ** 20),
      u32(fields.capabilities ?? TENSORS),
    ]),
    fields.id,
    fields.nonce ?? randomBytes(16),
    createHash("sha256").update(fields.community).digest().subarray(0, 8),
    mac(fields.key, KEY_TEXT_ID).subarray(0, 4),
    u32(fields.bootEpoch ?? 1),
    fields.more ?? NOTHING,
  ];
  return record(OP.CAPS, Buffer.concat(fixed));
}

/** The nonce within a CAPS record. */
function nonceOf(record: Buffer): Buffer {
  return record.subarray(4 + 16 + 16, 4 + 16 + 32);
}

export interface Handshake {
  readonly key: string;
  readonly helloFrame: Buffer;
  readonly acceptFrame: Buffer;
  readonly diallerCaps: Buffer;
  readonly acceptorCaps: Buffer;
  /** SHA-256 of the acceptor's certificate, empty without TLS. */
  readonly tlsBinding: Buffer;
  /** The result of X25519, where both sides have taken part. */
  readonly sharedSecret?: Buffer | undefined;
}

/** PRK, from which the proofs and what seals keys are made. */
export function handshakeSecret({ key, diallerCaps, acceptorCaps, sharedSecret }: Handshake): Buffer {
  const keyBytes = Buffer.from(key);
  const shared = sharedSecret ?? NOTHING;
  const salt = Buffer.concat([nonceOf(diallerCaps), nonceOf(acceptorCaps)]);
  return mac(salt, Buffer.concat([u16(keyBytes.length), keyBytes, u16(shared.length), shared]));
}

/** The 32 bytes of a PROOF. */
export function proof(handshake: Handshake, role: "dialler" | "acceptor"): Buffer {
  const { helloFrame, acceptFrame, diallerCaps, acceptorCaps, tlsBinding } = handshake;
  const frames = [helloFrame, acceptFrame, diallerCaps, acceptorCaps];
  const said = Buffer.concat([Buffer.from("asoc/x1"), ...frames, tlsBinding]);
  const th = createHash("sha256").update(said).digest();
  const roleKey = mac(handshakeSecret(handshake), Buffer.concat([Buffer.from(role), th, u8(1)]));
  return mac(roleKey, th);
}

/** An ACCEPT by which a dialler knows that the acceptor speaks x1. */
export function x1Accept(key: string): Buffer {
  const r = randomBytes(4);
  const tag = mac(key, Buffer.concat([Buffer.from("asoc/x1 token"), r])).subarray(0, 4);
  return accept(key, Buffer.concat([r, tag]));
}

/** A fresh id of version 8, as nodes that speak x1 make them. */
export function freshX1Id(): Buffer {
  const id = freshId();
  id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x80, 6);
  return id;
}

export interface OpenFields {
  readonly transferId: Uint8Array;
  readonly totalBytes: number | undefined;
  readonly baseOffset?: number;
  readonly topic?: string;
  readonly rank?: number;
  readonly priority?: number;
}

/** The body of an OPEN for bytes that are no tensor. */
export function open(fields: OpenFields): Buffer {
  const topic = Buffer.from(fields.topic ?? "");
  const rank = fields.rank ?? 0;
  return Buffer.concat([
    fields.transferId,
    u64(fields.totalBytes ?? 0xffff_ffff_ffff_ffffn),
    u64(fields.baseOffset ?? 0),
    Buffer.of(0, 0, 0, 0, rank, fields.priority ?? 1, 0, 0, 0, 0),
    u16(topic.length),
    u32(0),
    topic,
  ]);
}

/** The body of a CLOSE with a CRC-32. */
export function close(transferId: Uint8Array, rawBytes: number, crc: number): Buffer {
  return Buffer.concat([transferId, u64(rawBytes), u8(1), u8(0), u16(0), u32(crc >>> 0)]);
}

export interface RawFrame {
  readonly type: number;
  readonly streamId: number;
  readonly seq: number;
  readonly payload: Buffer;
}

/** A record that came, with the stream of its frame. */
export interface RawRecord {
  readonly op: number;
  readonly streamId: number;
  readonly body: Buffer;
}

/** Reads one frame. Rejects when the connection ends before. */
export async function readFrame(raw: RawPeer, timeoutMs?: number): Promise<RawFrame> {
  const head = await raw.take(HEADER_BYTES, timeoutMs);
  const payloadBytes = head.readUInt32BE(10);
  const payload = payloadBytes > 0 ? await raw.take(payloadBytes, timeoutMs) : NOTHING;
  return { type: head.readUInt8(1), streamId: head.readUInt32BE(2), seq: head.readUInt32BE(6), payload };
}

/** The records of a CONTROL payload. */
export function splitRecords(payload: Buffer, streamId: number): RawRecord[] {
  const records: RawRecord[] = [];
  for (let at = 0; at + 4 <= payload.length; ) {
    const end = at + 4 + payload.readUInt16BE(at + 2);
    records.push({ op: payload.readUInt8(at), streamId, body: payload.subarray(at + 4, end) });
    at = end;
  }
  return records;
}

export interface X1Options {
  readonly key: string;
  readonly community: string;
  readonly id?: Buffer;
  readonly source?: string;
  readonly initialCredit?: number;
  readonly bootEpoch?: number;
  /** Offers X25519, and follows rotations. */
  readonly exchange?: ExchangeKey;
}

/** One connection that is through the handshake of x1, as its dialler, and whose records and frames the test chooses. */
export class X1Peer implements Disposable {
  readonly raw: RawPeer;
  readonly id: Buffer;
  /** What was said until both proofs: for whoever plays it again. */
  readonly handshake: Handshake;
  /** Records that came and were passed over by `record`. */
  readonly heard: RawRecord[] = [];
  /** DATA that came, by stream. */
  readonly data = new Map<number, Buffer[]>();
  #seq: number;

  private constructor(raw: RawPeer, id: Buffer, handshake: Handshake, seq: number) {
    this.raw = raw;
    this.id = id;
    this.handshake = handshake;
    this.#seq = seq;
  }

  static async join(port: number, options: X1Options): Promise<X1Peer> {
    const id = options.id ?? freshX1Id();
    const raw = await RawPeer.connect(port, options.source ?? freshSource());
    const helloFrame = frame(TYPE.HELLO, 0, 0, hello(options.key, id));
    const { exchange } = options;
    const offer = exchange ? { capabilities: TENSORS | ROTATION, more: exchange.tlv } : {};
    const diallerCaps = caps({ ...options, ...offer, id });
    raw.send(Buffer.concat([helloFrame, frame(TYPE.CONTROL, 0, 0, diallerCaps)]));
    const handshake = await hearAcceptor(raw, options.key, helloFrame, diallerCaps, exchange);
    raw.send(frame(TYPE.CONTROL, 0, 1, record(OP.PROOF, proof(handshake, "dialler"))));
    return new X1Peer(raw, id, handshake, 2);
  }

  /** Records in one CONTROL frame about `streamId`. */
  say(streamId: number, ...records: Uint8Array[]): void {
    this.raw.send(this.control(streamId, ...records));
  }

  /** The same, not sent yet. */
  control(streamId: number, ...records: Uint8Array[]): Buffer {
    return frame(TYPE.CONTROL, streamId, this.#seq++, Buffer.concat(records));
  }

  /** All of a tensor in one frame of DATA; it must fit the credit. */
  tensor(streamId: number, fields: OpenFields, content: Uint8Array, crc: number): void {
    this.raw.send(
      Buffer.concat([
        this.control(streamId, record(OP.OPEN, open(fields))),
        frame(TYPE.DATA, streamId, 0, content),
        this.control(streamId, record(OP.CLOSE, close(fields.transferId, content.length, crc))),
        frame(TYPE.END, streamId, 1),
      ]),
    );
  }

  /** The next record with that op; others are kept in `heard`. Rejects when the connection ends before. */
  async record(op: number, accept: (record: RawRecord) => boolean = () => true): Promise<RawRecord> {
    const known = this.heard.find((each) => each.op === op && accept(each));
    if (known) {
      this.heard.splice(this.heard.indexOf(known), 1);
      return known;
    }
    for (;;) {
      const came = await readFrame(this.raw);
      if (came.type === TYPE.DATA) {
        const parts = this.data.get(came.streamId) ?? [];
        parts.push(came.payload);
        this.data.set(came.streamId, parts);
      }
      if (came.type !== TYPE.CONTROL) continue;
      let found: RawRecord | undefined;
      for (const each of splitRecords(came.payload, came.streamId)) {
        if (!found && each.op === op && accept(each)) found = each;
        else this.heard.push(each);
      }
      if (found) return found;
    }
  }

  /** Proof that the other side has read and answered all that was sent before. */
  async roundTrip(): Promise<void> {
    const opaque = randomBytes(8);
    this.say(0, record(OP.PING, Buffer.concat([opaque, u64(0)])));
    await this.record(OP.PONG, ({ body }) => body.subarray(0, 8).equals(opaque));
  }

  /** The code of the ERROR that ends the connection, or undefined where it ends without. */
  async error(): Promise<number | undefined> {
    try {
      return (await this.record(OP.ERROR)).body.readUInt16BE(0);
    } catch {
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }
}

/** ACCEPT, CAPS and PROOF of an acceptor; throws where its proof does not hold. */
export async function hearAcceptor(
  raw: RawPeer,
  key: string,
  helloFrame: Buffer,
  diallerCaps: Buffer,
  exchange?: ExchangeKey,
): Promise<Handshake> {
  const acceptFrame = await raw.take(30);
  const { type, payload } = await readFrame(raw);
  if (type !== TYPE.CONTROL) throw new Error(`CONTROL was awaited, frame type ${type} came`);
  const capsBytes = 4 + payload.readUInt16BE(2);
  const acceptorCaps = payload.subarray(0, capsBytes);
  const { tlsBinding } = raw;
  const sharedSecret = exchange && exchanged(exchange, acceptorCaps);
  const handshake = { key, helloFrame, acceptFrame, diallerCaps, acceptorCaps, tlsBinding, sharedSecret };
  const theirs = payload.subarray(capsBytes + 4, capsBytes + 36);
  if (!theirs.equals(proof(handshake, "acceptor"))) throw new Error("the acceptor's proof does not hold");
  return handshake;
}

/** The acceptor's side of the handshake, on a connection that somebody has dialled; `key` may be one's own invention. */
export async function acceptX1(raw: RawPeer, options: X1Options): Promise<Handshake> {
  const helloFrame = await raw.take(50);
  const { payload: diallerCaps } = await readFrame(raw);
  const acceptFrame = frame(TYPE.ACCEPT, 0, 0, x1Accept(options.key));
  const acceptorCaps = caps({ ...options, id: options.id ?? freshX1Id() });
  const { tlsBinding } = raw;
  const handshake = { key: options.key, helloFrame, acceptFrame, diallerCaps, acceptorCaps, tlsBinding };
  const own = record(OP.PROOF, proof(handshake, "acceptor"));
  raw.send(Buffer.concat([acceptFrame, frame(TYPE.CONTROL, 0, 0, Buffer.concat([acceptorCaps, own]))]));
  return handshake;
}
