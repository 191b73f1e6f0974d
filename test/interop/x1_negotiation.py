"""HELLO to PROOF on one connection: RFC-0001, section 7, RFC-0004, sections 5 and 6, RFC-0100.

It never falls back: a peer that does not speak x1 is refused, as with the policy *deny*. X25519 is not offered.

    dialler:   HELLO, CAPS -->        ACCEPT awaited --> CAPS awaited --> PROOF awaited --> PROOF --> open
    acceptor:  HELLO awaited --> ACCEPT, CAPS awaited --> CAPS, PROOF; PROOF awaited --> open
"""
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

import x1_fields as codes
import x1_records as rec
from x1_caps import Caps
from x1_fields import Fault
from x1_wire import (ACCEPT_HEADER, HEADER, HELLO_HEADER, Transcript, is_x1_token, make_accept, make_hello, make_token)

if TYPE_CHECKING:
    from x1_node import Node


class Negotiation:
    """What both sides have said so far. `raw` goes out first, then the records that its methods return."""
    def __init__(self, role: str, node: "Node") -> None:
        self.role, self.node = role, node
        self.other = "acceptor" if role == "dialler" else "dialler"
        self.own: Caps = node.caps
        self.peer: Caps | None = None
        self.hello = self.accept = self.own_caps = self.peer_caps = b""
        if role == "dialler":
            self.hello = make_hello(node.key, node.caps.uuid, node.random(4))
            self.make_caps()

    def make_caps(self) -> None:
        """Our CAPS with a nonce of its own."""
        self.own = replace(self.node.caps, nonce=self.node.random(16))
        self.own_caps = rec.encode(self.own)

    def first_size(self, start: bytes) -> int:
        """Bytes of the frame that has to come first; its header is compared whole, as far as it is there."""
        expected = ACCEPT_HEADER if self.role == "dialler" else HELLO_HEADER
        if not expected.startswith(start[:HEADER.size]):
            raise Fault(codes.PROTOCOL, f"unexpected first header {start[:HEADER.size].hex()}")
        return 50 if expected == HELLO_HEADER else 30

    def on_first(self, frame: bytes) -> bytes:
        """HELLO or ACCEPT; gives what to write at once."""
        node, key = self.node, self.node.key
        if self.role == "dialler":
            if not hmac.compare_digest(frame, make_accept(key, frame[14:22])):
                raise Fault(codes.PROTOCOL, "ACCEPT of another key")
            if not is_x1_token(key, frame[14:22]):
                raise Fault(codes.PROTOCOL, "the acceptor does not speak x1")
            self.accept = frame
            return b""
        if not hmac.compare_digest(frame, make_hello(key, frame[14:30], frame[46:50])):
            raise Fault(codes.PROTOCOL, "HELLO of another key")
        if frame[14:30] == node.caps.uuid or not node.admit(frame):
            raise Fault(codes.PROTOCOL, "HELLO that is our own, or was here before")
        self.hello, self.accept = frame, make_accept(key, make_token(key, node.random(4)))
        return self.accept

    def on_caps(self, payload: bytes) -> tuple[rec.Record, ...]:
        """The first record of the first CONTROL frame, checked as RFC-0100, section 6, says; gives our answer."""
        if payload[:1] != b"\1":
            raise Fault(codes.PROTOCOL, "the first CONTROL frame does not begin with CAPS")
        self.peer_caps = payload[:4 + len(rec.split(payload)[0][2])]
        (caps,) = rec.decode(self.peer_caps)
        assert isinstance(caps, Caps)
        own = self.node.caps
        for bad, why in (
            (caps.community_hash != own.community_hash, "other community"), (caps.key_id != own.key_id, "other key"),
            (self.role == "acceptor" and caps.uuid != self.hello[14:30], "two names"),
            (caps.uuid == own.uuid, "our own id"), (caps.max_frame_bytes < 1024, "max_frame below 1,024"),
        ):
            if bad:
                raise Fault(codes.PROTOCOL, f"CAPS: {why}")
        self.peer = caps
        if self.role == "dialler":
            return ()
        self.make_caps()
        return self.own, rec.Proof(self.transcript.proof("acceptor"))

    @property
    def transcript(self) -> Transcript:
        """What was on the wire, in the order of the roles."""
        caps = (self.own_caps, self.peer_caps) if self.role == "dialler" else (self.peer_caps, self.own_caps)
        return Transcript(self.node.key, self.hello, self.accept, *caps)

    def on_proof(self, record: rec.Proof) -> tuple[rec.Record, ...]:
        """The other side has shown that it knows the key; gives our answer."""
        if not hmac.compare_digest(record.proof, self.transcript.proof(self.other)):
            raise Fault(codes.PROTOCOL, "a wrong proof")
        return (rec.Proof(self.transcript.proof("dialler")),) if self.role == "dialler" else ()
