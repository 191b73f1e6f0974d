"""The records of CONTROL payloads (RFC-0004, sections 2 and 9 to 12). CAPS is in x1_caps, OPEN in x1_open.

Field names are those of the golden vectors in snake case.
"""
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from x1_caps import Caps
from x1_fields import UNKNOWN_CRITICAL, Body, Fault, malformed, over_limit, read_text, u64
from x1_open import Open

NO_DIGEST, CRC32, SHA256 = range(3)
DIGEST_BYTES = {NO_DIGEST: 0, CRC32: 4, SHA256: 32}
RECEIVED, VERIFIED, CONSUMED = 1, 2, 3
MAX_CONTROL, MAX_HANDSHAKE_CONTROL, MAX_CAPS = 16_384, 2048, 1024


class Plain:
    """A record whose body is its fields one after the other, each as LAYOUT says."""
    LAYOUT: ClassVar[tuple[str, ...]]

    def encode(self) -> bytes:
        """The body."""
        values = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return b"".join(write(kind, value) for kind, value in zip(self.LAYOUT, values, strict=True))

    @classmethod
    def decode(cls, body: Body) -> Self:
        """The fields of a body, all of it."""
        record = cls(*(read(kind, body) for kind in cls.LAYOUT))
        body.end()
        return record


def write(kind: str, value: Any) -> bytes:
    """One field: uN an integer, u53, bN that many bytes, sA-B so many sealed bytes, tN a text, glob."""
    if kind in ("u8", "u16", "u32"):
        return int(value).to_bytes(int(kind[1:]) // 8, "big")
    if kind.startswith("u53"):
        return u64(value)
    return value.encode() if isinstance(value, str) else bytes(value)


def read(kind: str, body: Body) -> Any:
    """The same, read."""
    match kind[0], kind[1:]:
        case "u", "53":
            return body.u53()
        case "u", "53?":
            return body.u53_or_none()
        case "u", bits:
            return body.number(int(bits) // 8)
        case "b", size:
            return body.take(int(size))
        case "t", limit:
            return read_text(body.rest(), int(limit), body.what)
        case "s", bounds:
            least, most = map(int, bounds.split("-"))
            sealed = body.rest()
            if len(sealed) < least or len(sealed) > most == least:
                raise malformed(f"{body.what}: {len(sealed)} sealed bytes")
            if len(sealed) > most:
                raise over_limit(f"{body.what}: {len(sealed)} sealed bytes")
            return sealed
    glob = read_text(body.rest(), 255, body.what)
    if not glob:
        raise malformed(f"{body.what}: an empty glob")
    return glob


@dataclass(frozen=True)
class Proof(Plain):
    proof: bytes
    LAYOUT = ("b32",)


@dataclass(frozen=True)
class Close:
    """Its digest is as long as its algorithm says."""
    transfer_id: bytes
    raw_bytes: int
    algorithm: int
    status: int
    digest: bytes

    def encode(self) -> bytes:
        """The body."""
        return self.transfer_id + u64(self.raw_bytes) + bytes((self.algorithm, self.status, 0, 0)) + self.digest

    @classmethod
    def decode(cls, body: Body) -> "Close":
        """The fields of a body."""
        transfer_id, raw_bytes, algorithm, status = body.take(8), body.u53(), body.number(1), body.number(1)
        body.take(2)
        digest = body.rest()
        if len(digest) > 64 and algorithm not in DIGEST_BYTES:
            raise over_limit(f"CLOSE with a digest of {len(digest)} bytes")
        if len(digest) != DIGEST_BYTES.get(algorithm, len(digest)):
            raise malformed(f"CLOSE: algorithm {algorithm} with a digest of {len(digest)} bytes")
        return cls(transfer_id, raw_bytes, algorithm, status, digest)


@dataclass(frozen=True)
class Reset(Plain):
    code: int
    reason: str = ""
    LAYOUT = ("u16", "t256")


@dataclass(frozen=True)
class Stop(Reset):
    pass


@dataclass(frozen=True)
class Credit(Plain):
    limit_bytes: int
    LAYOUT = ("u53",)


@dataclass(frozen=True)
class Blocked(Credit):
    pass


@dataclass(frozen=True)
class Ack(Plain):
    transfer_id: bytes
    contiguous_bytes: int
    level: int
    LAYOUT = ("b8", "u53", "u8")

    @classmethod
    def decode(cls, body: Body) -> Self:
        """Its level is one of three."""
        record = super().decode(body)
        if record.level not in (RECEIVED, VERIFIED, CONSUMED):
            raise malformed(f"ACK of level {record.level}")
        return record


@dataclass(frozen=True)
class ResumeQuery(Plain):
    transfer_id: bytes
    LAYOUT = ("b8",)


@dataclass(frozen=True)
class ResumeAnswer(Plain):
    transfer_id: bytes
    offset: int | None  # None: delivered already
    LAYOUT = ("b8", "u53?")


@dataclass(frozen=True)
class Ping(Plain):
    opaque: bytes
    unix_ms: int
    LAYOUT = ("b8", "u53")


@dataclass(frozen=True)
class Pong(Ping):
    pass


@dataclass(frozen=True)
class Goaway(Plain):
    last_stream: int
    drain_ms: int
    code: int
    LAYOUT = ("u32", "u32", "u16")


@dataclass(frozen=True)
class Error(Plain):
    code: int
    stream: int
    frame_seq: int
    text: str
    LAYOUT = ("u16", "u32", "u32", "t256")


@dataclass(frozen=True)
class Agent(Plain):
    text: str
    LAYOUT = ("t64",)

    @classmethod
    def decode(cls, body: Body) -> Self:
        """It says something."""
        record = super().decode(body)
        if not record.text:
            raise malformed("AGENT without a text")
        return record


@dataclass(frozen=True)
class KeyNew(Plain):
    counter: int
    sealed: bytes
    LAYOUT = ("u53", "s33-1056")


@dataclass(frozen=True)
class KeyAck(KeyNew):
    LAYOUT = ("u53", "s24-24")


@dataclass(frozen=True)
class Tap(Plain):
    one_in: int
    bytes_per_second: int
    glob: str
    LAYOUT = ("u32", "u53", "glob")

    @classmethod
    def decode(cls, body: Body) -> Self:
        """One in 0 is none."""
        record = super().decode(body)
        if record.one_in == 0:
            raise malformed("TAP of one in 0")
        return record


@dataclass(frozen=True)
class Untap(Plain):
    glob: str
    LAYOUT = ("glob",)


Record = (Caps | Proof | Open | Close | Reset | Stop | Credit | Blocked | Ack | ResumeQuery | ResumeAnswer | Ping | Pong
          | Goaway | Error | Agent | KeyNew | KeyAck | Tap | Untap)
OPS: dict[int, Any] = {
    0x01: Caps, 0x02: Proof, 0x10: Open, 0x11: Close, 0x12: Reset, 0x13: Stop, 0x20: Credit, 0x21: Blocked, 0x22: Ack,
    0x23: ResumeQuery, 0x24: ResumeAnswer, 0x30: Ping, 0x31: Pong, 0x32: Goaway, 0x33: Error, 0x34: Agent, 0x40: KeyNew,
    0x41: KeyAck, 0x50: Tap, 0x51: Untap,
}
OP_OF = {kind: op for op, kind in OPS.items()}
NOT_IN_USE = frozenset((KeyNew, KeyAck))


@dataclass(frozen=True)
class Verbatim:
    """Not a record: bytes in the place of one, to see what others do with them."""
    payload: bytes


def encode(*records: Record | Verbatim) -> bytes:
    """A CONTROL payload."""
    payload = b""
    for record in records:
        if isinstance(record, Verbatim):
            payload += record.payload
        else:
            body = record.encode()
            payload += struct.pack(">BBH", OP_OF[type(record)], 0, len(body)) + body
    return payload


def split(payload: bytes) -> list[tuple[int, bool, bytes]]:
    """Op, critical and body of each record; a fault when one is cut off or a CAPS too long."""
    found, reader = [], Body(payload, "a record")
    while reader.at < len(payload):
        op, flags, size = struct.unpack(">BBH", reader.take(4))
        found.append((op, bool(flags & 1), reader.take(size)))
        if op == OP_OF[Caps] and size + 4 > MAX_CAPS:
            raise over_limit(f"CAPS of {size + 4} bytes")
    return found


def decode(payload: bytes, layout_only: Collection[type] = NOT_IN_USE) -> list[Record]:
    """The records in use; others are checked and left out, and unknown ones skipped."""
    records: list[Record] = []
    for op, critical, body in split(payload):
        kind = OPS.get(op)
        if critical and (kind is None or kind in layout_only):
            raise Fault(UNKNOWN_CRITICAL, f"critical record with the unknown op {op:02x}")
        if kind is None:
            continue
        record = kind.decode(Body(body, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).upper()))
        if kind not in layout_only:
            records.append(record)
    return records
