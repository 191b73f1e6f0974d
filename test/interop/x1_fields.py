"""Fields and faults of x1 records (RFC-0004, sections 2.4 and 2.5). Knows no record."""
import struct

MAX_U53, ALL_ONES = 2 ** 53 - 1, 2 ** 64 - 1
UNSPECIFIED, PROTOCOL, BAD_RECORD, UNKNOWN_CRITICAL, LIMIT, CREDIT = range(6)  # codes of ERROR


class Fault(Exception):
    """What the other side did wrong: the code of ERROR, and where."""
    def __init__(self, code: int, text: str, stream: int = 0, seq: int = 0) -> None:
        super().__init__(text)
        self.code, self.stream, self.seq = code, stream, seq


def malformed(what: str) -> Fault:
    """A fault of form: something is missing, left over, or outside of what its table allows."""
    return Fault(BAD_RECORD, what)


def over_limit(what: str) -> Fault:
    """A number over 2^53 - 1, or a text or list that is too long."""
    return Fault(LIMIT, what)


def read_text(data: bytes, limit: int, what: str) -> str:
    """Strict UTF-8 of at most `limit` bytes."""
    if len(data) > limit:
        raise over_limit(f"{what} of {len(data)} bytes, over {limit}")
    try:
        return data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise malformed(f"{what} is not UTF-8") from error


class Body:
    """The bytes of one record or TLV, read from the front."""
    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.at, self.what = data, 0, what

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if self.at + size > len(self.data):
            raise malformed(f"{self.what} is cut off")
        self.at += size
        return self.data[self.at - size:self.at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.at)

    def number(self, size: int) -> int:
        """An unsigned integer."""
        return int.from_bytes(self.take(size), "big")

    def u53(self) -> int:
        """A u64 that every language can hold."""
        value = self.number(8)
        if value > MAX_U53:
            raise over_limit(f"{self.what}: {value} is over 2^53 - 1")
        return value

    def u53_or_none(self) -> int | None:
        """The same, or None for all ones."""
        if self.data[self.at:self.at + 8] == b"\xff" * 8:
            self.at += 8
            return None
        return self.u53()

    def i53(self) -> int:
        """A signed i64."""
        value = int.from_bytes(self.take(8), "big", signed=True)
        if abs(value) > MAX_U53:
            raise over_limit(f"{self.what}: {value} is beyond 2^53 - 1")
        return value

    def end(self) -> None:
        """Nothing may be left."""
        if self.at != len(self.data):
            raise malformed(f"{self.what}: {len(self.data) - self.at} bytes too many")

    def tlvs(self, known: range) -> "dict[int, Body]":
        """The known TLVs up to the end; unknown ones are skipped."""
        found: dict[int, Body] = {}
        while self.at < len(self.data):
            kind, size = struct.unpack(">HH", self.take(4))
            value = Body(self.take(size), f"{self.what}, TLV {kind}")
            if kind in found:
                raise malformed(f"{value.what} comes twice")
            if kind in known:
                found[kind] = value
        return found


def tlv(kind: int, value: bytes | None) -> bytes:
    """A TLV, or nothing where there is no value."""
    return b"" if value is None else struct.pack(">HH", kind, len(value)) + value


def u64(value: int | None) -> bytes:
    """A u64, all ones for None."""
    return struct.pack(">Q", ALL_ONES if value is None else value)
