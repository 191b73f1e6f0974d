"""Transfers at the receiver: what has come of each, and what outlives a connection (RFC-0006, section 6.1)."""
import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import x1_records as rec
from x1_open import DTYPE_NAMES, Open

if TYPE_CHECKING:
    from x1_session import Session

Key = tuple[bytes, bytes]  # uuid of the sender, transfer id


def digest(algorithm: int, data: bytes | bytearray) -> bytes:
    """What CLOSE says of these bytes."""
    if algorithm == rec.SHA256:
        return hashlib.sha256(data).digest()
    return zlib.crc32(data).to_bytes(4, "big") if algorithm == rec.CRC32 else b""


class Arriving:
    """One transfer: the description of its first OPEN, and what has come of it on all its streams."""
    def __init__(self, description: Open) -> None:
        self.open, self.data, self.streams = description, bytearray(), 0

    @property
    def algorithm(self) -> int:
        """Fixed by OPEN; CRC-32 where that says nothing."""
        return rec.CRC32 if self.open.digest is None else self.open.digest


class InStream:
    """One stream of it; without a transfer it is skipped."""
    def __init__(self, stream_id: int, key: Key, limit: int) -> None:
        self.id, self.key, self.limit = stream_id, key, limit
        self.arriving: Arriving | None = None
        self.base = self.seq = self.came = self.unacked = 0
        self.close: rec.Close | None = None


class Book:
    """The transfers of a node, whatever connection they are on."""
    def __init__(self) -> None:
        self.live: dict[Key, tuple["Session", InStream]] = {}
        self.held: dict[Key, Arriving] = {}
        self.delivered: set[Key] = set()


def is_json(text: str | None) -> bool:
    """JSON as RFC 8259 has it, or nothing at all."""
    def refuse(name: str) -> None:
        raise ValueError(name)
    try:
        return text is None or json.loads(text, parse_constant=refuse) is not Ellipsis
    except (ValueError, RecursionError):
        return False


def is_mixed(streams: Iterable[InStream]) -> bool:
    """Whether open streams have more than one priority."""
    return len({each.arriving.open.priority for each in streams if each.arriving}) > 1


def describe(record: Open) -> dict[str, Any]:
    """OPEN as an event tells it."""
    return {"transferId": record.transfer_id.hex(), "totalBytes": record.total_bytes, "shape": record.shape,
            "dtype": record.dtype and DTYPE_NAMES.get(record.dtype, record.dtype), "topic": record.topic,
            "metadata": record.user_metadata and json.loads(record.user_metadata), "digest": record.digest}
