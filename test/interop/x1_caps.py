"""CAPS (RFC-0004, section 3): who a side is, and what it can do."""
import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from x1_fields import Body, malformed, over_limit, read_text, tlv

FIXED = struct.Struct(">BBHIII16s16s8s4sI")
TENSORS = 1
HOST = re.compile(rb"[0-9A-Za-z._:-]+")


class Address(NamedTuple):
    """Where a side accepts connections."""
    host: str
    port: int


@dataclass(frozen=True)
class Caps:
    """The fixed fields in their order, then the TLVs."""
    ext_version: int
    keepalive_s: int
    max_streams: int
    max_frame_bytes: int
    initial_credit_bytes: int
    capabilities: int
    uuid: bytes
    nonce: bytes
    community_hash: bytes
    key_id: bytes
    boot_epoch: int
    public_key: bytes | None = None
    addresses: tuple[Address, ...] = ()
    zone: str | None = None
    labels: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The body."""
        addresses = b"".join(struct.pack(">HB", port, len(host)) + host.encode() for host, port in self.addresses)
        labels = b"".join(bytes((len(part),)) + part for pair in self.labels.items() for part in map(str.encode, pair))
        return FIXED.pack(
            self.ext_version, self.keepalive_s, self.max_streams, self.max_frame_bytes, self.initial_credit_bytes,
            self.capabilities, self.uuid, self.nonce, self.community_hash, self.key_id, self.boot_epoch,
        ) + tlv(1, self.public_key) + tlv(2, addresses or None) + tlv(
            3, self.zone.encode() if self.zone is not None else None) + tlv(4, labels or None)

    @classmethod
    def decode(cls, body: Body) -> "Caps":
        """The fields of a body; values that only the negotiation judges are read as they are."""
        (version, keepalive_s, streams, frame, credit, bits, uuid, nonce, community, key_id, epoch) = FIXED.unpack(
            body.take(FIXED.size))
        if version == 0:
            raise malformed("CAPS of version 0")
        tlvs = body.tlvs(range(1, 5))
        if (public_key := tlvs[1].rest() if 1 in tlvs else None) is not None and len(public_key) != 32:
            raise malformed(f"CAPS with a public key of {len(public_key)} bytes")
        zone = read_text(tlvs[3].rest(), 64, "zone") if 3 in tlvs else None
        if zone == "":
            raise malformed("CAPS with an empty zone")
        return cls(version, keepalive_s, streams, frame, credit, bits, uuid, nonce, community, key_id, epoch,
                   public_key, read_addresses(tlvs.get(2)), zone, read_labels(tlvs.get(4)))


def read_addresses(body: Body | None) -> tuple[Address, ...]:
    """1 to 8 addresses, or none without the TLV."""
    found: list[Address] = []
    while body and (body.at < len(body.data) or not found):
        port, size = body.number(2), body.number(1)
        host = body.take(size)
        if size > 253 or len(found) == 8:
            raise over_limit("CAPS: more than 8 addresses, or a long host")
        if port == 0 or not HOST.fullmatch(host):
            raise malformed(f"CAPS with the address {host!r}:{port}")
        found.append(Address(host.decode(), port))
    return tuple(found)


def read_labels(body: Body | None) -> dict[str, str]:
    """1 to 32 labels, or none without the TLV."""
    found: dict[str, str] = {}
    while body and (body.at < len(body.data) or not found):
        key = read_text(body.take(body.number(1)), 63, "a label's key")
        value = read_text(body.take(body.number(1)), 255, "a label's value")
        if len(found) == 32:
            raise over_limit("CAPS with more than 32 labels")
        if not key or key in found:
            raise malformed(f"CAPS with the label {key!r} empty or twice")
        found[key] = value
    return found
