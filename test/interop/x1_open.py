"""OPEN (RFC-0004, section 12.1), and the data types that a receiver knows (RFC-0005, section 4.3)."""
import math
import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

from x1_fields import MAX_U53, Body, malformed, over_limit, read_text, tlv, u64

TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
INTEGERS = (1, 2, 4, 8, 16, 32, 64)
KNOWN_BITS: dict[int, tuple[int, ...]] = {
    0: INTEGERS, 1: INTEGERS, 2: (16, 32, 64), 3: tuple(range(8, 249, 8)), 4: (16,), 5: (32, 64, 128), 6: (8,),
    **dict.fromkeys(range(7, 15), (8,)), 15: (6,), 16: (6,), 17: (4,),
}


class DType(NamedTuple):
    """An element: DLPack's code, bits of a lane, lanes."""
    code: int
    bits: int
    lanes: int

    @property
    def known(self) -> bool:
        """Whether RFC-0005 lists it."""
        return self.bits in KNOWN_BITS.get(self.code, ())

    def size_of(self, shape: tuple[int, ...]) -> int:
        """Bytes of a tensor: the bits of all elements, rounded up once."""
        return -(-self.bits * self.lanes * math.prod(shape) // 8)

    def countable(self, shape: tuple[int, ...]) -> bool:
        """Whether its elements, or bits, can be counted when dims of 0 are left out (RFC-0005, section 4.7, step 4)."""
        each = self.bits * self.lanes
        return math.prod(filter(None, shape)) * (each if each % 8 else 1) <= MAX_U53


FLOAT8 = "e3m4 e4m3 e4m3b11fnuz e4m3fn e4m3fnuz e5m2 e5m2fnuz e8m0fnu".split()
DTYPES = {
    **{f"{name}{bits}": DType(code, bits, 1) for code, name in enumerate(
        ("int", "uint", "float", "opaque", "bfloat", "complex")) for bits in KNOWN_BITS[code]},
    "bool": DType(6, 8, 1), **{f"float8_{name}": DType(7 + at, 8, 1) for at, name in enumerate(FLOAT8)},
    "float6_e2m3fn": DType(15, 6, 1), "float6_e3m2fn": DType(16, 6, 1), "float4_e2m1fn": DType(17, 4, 1),
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Group:
    """The file that a tensor is one of."""
    id: bytes
    index: int
    count: int
    file_name: str
    file_metadata: str


class Shard(NamedTuple):
    """Where in a larger tensor it lies."""
    global_shape: tuple[int, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Open:
    """What a stream carries; names as in the table of the RFC, total_bytes None where it is not known."""
    transfer_id: bytes
    total_bytes: int | None
    base_offset: int = 0
    dtype: DType | None = None
    shape: tuple[int, ...] = ()
    priority: int = 128
    codec: int = 0
    layout: int = 0
    device_type: int = 0
    device_id: int = 0
    deadline_ms: int = 0
    topic: str = ""
    group: Group | None = None
    strides: tuple[int, ...] | None = None
    shard: Shard | None = None
    step: int | None = None
    traceparent: str | None = None
    user_metadata: str | None = None
    digest: int | None = None

    def encode(self) -> bytes:
        """The body."""
        topic, dtype = self.topic.encode(), self.dtype or DType(0, 0, 0)
        return b"".join((
            self.transfer_id, u64(self.total_bytes), u64(self.base_offset),
            struct.pack(">BBHBBBBBBHI", *dtype, len(self.shape), self.priority, self.codec, self.layout,
                        self.device_type, self.device_id, len(topic), self.deadline_ms),
            *map(u64, self.shape), topic,
            tlv(1, encode_group(self.group)),
            tlv(2, None if self.strides is None else b"".join(struct.pack(">q", each) for each in self.strides)),
            tlv(3, self.shard and b"".join(map(u64, (*self.shard.global_shape, *self.shard.offsets)))),
            tlv(4, None if self.step is None else u64(self.step)),
            tlv(5, self.traceparent.encode() if self.traceparent else None),
            tlv(6, None if self.user_metadata is None else self.user_metadata.encode()),
            tlv(7, None if self.digest is None else bytes((self.digest,))),
        ))

    @classmethod
    def decode(cls, body: Body) -> "Open":
        """The fields of a body."""
        transfer_id, total, base = body.take(8), body.u53_or_none(), body.u53()
        code, bits, lanes, rank, *plain, name_length, deadline = struct.unpack(">BBHBBBBBBHI", body.take(16))
        dtype = DType(code, bits, lanes) if (code, bits, lanes) != (0, 0, 0) else None
        layout = plain[2]
        if total is not None and base > total:
            raise malformed(f"OPEN: base {base} over total {total}")
        if dtype and (bits == 0 or lanes == 0):
            raise malformed(f"OPEN: type {code} of {bits} bits, {lanes} lanes")
        if rank > 64 or name_length > 255:
            raise over_limit(f"OPEN: rank {rank}, topic of {name_length} bytes")
        if rank and not dtype:
            raise malformed("OPEN with a shape and no type")
        shape = tuple(body.u53() for _ in range(rank))
        if dtype and dtype.size_of(shape) > MAX_U53:
            raise over_limit("OPEN: a shape of more than 2^53 - 1 bytes")
        topic = read_text(body.take(name_length), 255, "topic")
        tlvs = body.tlvs(range(1, 8))
        strides = tuple(tlvs[2].i53() for _ in range(rank)) if 2 in tlvs else None
        if (layout == 2) != (strides is not None):
            raise malformed("OPEN: strides and layout 2 come together")
        shard = read_shard(tlvs[3], shape) if 3 in tlvs else None
        step = tlvs[4].u53() if 4 in tlvs else None
        digest = tlvs[7].number(1) if 7 in tlvs else None
        for kind in {2, 3, 4, 7} & tlvs.keys():
            tlvs[kind].end()
        traceparent = tlvs[5].rest() if 5 in tlvs else None
        if traceparent is not None and not TRACEPARENT.fullmatch(traceparent):
            raise malformed("OPEN with a bad traceparent")
        metadata = read_text(tlvs[6].rest(), 8192, "user metadata") if 6 in tlvs else None
        group = read_group(tlvs[1]) if 1 in tlvs else None
        priority, codec, layout, device_type, device_id = plain
        return cls(transfer_id, total, base, dtype, shape, priority, codec, layout, device_type, device_id, deadline,
                   topic, group, strides, shard, step, traceparent.decode() if traceparent else None, metadata, digest)


def encode_group(group: Group | None) -> bytes | None:
    """The value of TLV 1."""
    if group is None:
        return None
    name = group.file_name.encode()
    return (group.id + struct.pack(">IIB", group.index, group.count, len(name)) + name + group.file_metadata.encode())


def read_group(body: Body) -> Group:
    """The value of TLV 1, checked."""
    group_id, index, count = body.take(8), body.number(4), body.number(4)
    name = read_text(body.take(body.number(1)), 255, "file name")
    metadata = read_text(body.rest(), 4096, "file metadata")
    if count and index >= count:
        raise malformed(f"OPEN: index {index} of a group of {count}")
    if name in (".", "..") or any(each in name for each in "/\\\0"):
        raise malformed(f"OPEN with the file name {name!r}")
    return Group(group_id, index, count, name, metadata)


def read_shard(body: Body, shape: tuple[int, ...]) -> Shard:
    """The value of TLV 3, within its whole."""
    whole, offsets = (tuple(body.u53() for _ in shape) for _ in range(2))
    if any(at + size > most for at, size, most in zip(offsets, shape, whole, strict=True)):
        raise malformed("OPEN: a shard outside of its whole")
    return Shard(whole, offsets)
