"""Frames, HELLO, ACCEPT and the proof: RFC-0001, sections 7 and 8, RFC-0004, section 5.1, and RFC-0100."""
import hashlib
import hmac
import struct
from dataclasses import dataclass

DATA, END, CONTROL, HELLO, ACCEPT = range(1, 6)
HEADER = struct.Struct(">BBIII")  # version, type, stream id, seq, payload length
MIB = 1 << 20
HELLO_HEADER, ACCEPT_HEADER = HEADER.pack(1, HELLO, 0, 0, 36), HEADER.pack(1, ACCEPT, 0, 0, 16)


def make_frame(kind: int, stream_id: int, seq: int, payload: bytes = b"") -> bytes:
    """Header and payload of one frame."""
    return HEADER.pack(1, kind, stream_id, seq, len(payload)) + payload


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256."""
    return hmac.digest(key, message, "sha256")


def make_hello(key: bytes, node_id: bytes, challenge: bytes) -> bytes:
    """The frame of HELLO."""
    return HELLO_HEADER + node_id + mac(key, node_id + challenge)[:16] + challenge


def make_accept(key: bytes, token: bytes) -> bytes:
    """The frame of ACCEPT."""
    return ACCEPT_HEADER + token + mac(key, token)[:8]


def make_token(key: bytes, random: bytes) -> bytes:
    """A token by which a dialler knows that the acceptor speaks x1; from 4 random bytes."""
    return random + mac(key, b"asoc/x1 token" + random)[:4]


def is_x1_token(key: bytes, token: bytes) -> bool:
    """Whether an acceptor of x1 has made it."""
    return hmac.compare_digest(token, make_token(key, token[:4]))


def key_id(key: bytes) -> bytes:
    """The hint at a key."""
    return mac(key, b"asoc/key id")[:4]


def make_node_id(random: bytes) -> bytes:
    """A UUID of version 8 of 16 random bytes."""
    return random[:6] + bytes((random[6] & 0x0F | 0x80, random[7], random[8] & 0x3F | 0x80)) + random[9:]


def is_version_8(node_id: bytes) -> bool:
    """Whether an id says that its node speaks x1."""
    return node_id[6] >> 4 == 8 and node_id[8] >> 6 == 2


@dataclass(frozen=True)
class Transcript:
    """What both sides have said before their proofs, and what follows from it. Without TLS and X25519 two are empty."""
    key: bytes
    hello_frame: bytes
    accept_frame: bytes
    dialler_caps: bytes
    acceptor_caps: bytes
    tls_binding: bytes = b""
    shared_secret: bytes = b""

    @property
    def th(self) -> bytes:
        """The transcript's hash."""
        return hashlib.sha256(b"asoc/x1" + self.hello_frame + self.accept_frame + self.dialler_caps
                              + self.acceptor_caps + self.tls_binding).digest()

    @property
    def prk(self) -> bytes:
        """HKDF-Extract over key and secret; its salt are the nonces, bytes 36 to 51 of each record."""
        material = b"".join(len(part).to_bytes(2, "big") + part for part in (self.key, self.shared_secret))
        return mac(self.dialler_caps[36:52] + self.acceptor_caps[36:52], material)

    def role_key(self, role: str) -> bytes:
        """k_role."""
        return mac(self.prk, role.encode() + self.th + b"\1")

    def proof(self, role: str) -> bytes:
        """The PROOF of "dialler" or "acceptor"."""
        return mac(self.role_key(role), self.th)


class FrameReader:
    """Cuts what arrives into headers and parts of payloads. Never holds more than a small payload."""
    def __init__(self) -> None:
        self.buffer, self.left = bytearray(), 0
        self.header: tuple[int, ...] = ()

    @property
    def between(self) -> bool:
        """Nothing of a frame has come without the rest."""
        return not self.buffer and not self.left

    def read_header(self) -> tuple[int, ...] | None:
        """The next header, once all of it is there and the payload before it was taken."""
        if self.left or len(self.buffer) < HEADER.size:
            return None
        self.header = HEADER.unpack_from(self.buffer)
        del self.buffer[:HEADER.size]
        self.left = self.header[4]
        return self.header

    def whole(self) -> bytes | None:
        """The payload, once all of it is there."""
        return self.part() if len(self.buffer) >= self.left else None

    def part(self) -> bytes:
        """As much of the payload as is there."""
        part = bytes(self.buffer[:self.left])
        del self.buffer[:len(part)]
        self.left -= len(part)
        return part
