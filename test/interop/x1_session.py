"""One connection of x1: frames, CONTROL, PING, ERROR, GOAWAY, and who closes (RFC-0004; RFC-0006, sections 5 to 8).

It has no socket, no clock and no randomness: bytes are handed in by `receive`, and `transmit` gives what to write.
Left out: a timer for PING and loss, drain times, and twins.
"""
from typing import TYPE_CHECKING, Any

import x1_fields as codes
import x1_records as rec
from x1_caps import TENSORS, Caps
from x1_fields import Fault
from x1_inbound import Inbound
from x1_negotiation import Negotiation
from x1_open import Open
from x1_outbound import Outbound, OutStream
from x1_wire import ACCEPT, CONTROL, DATA, END, HEADER, HELLO, FrameReader, make_frame

SHUTDOWN = 2
ELSEWHERE = {1, 3, 4}  # codes of GOAWAY after which what waits goes on with the same peer
MAX_WAITING = 64  # CONTROL frames, above which PING is not answered
TO_INBOUND = {Open, rec.Close, rec.Reset, rec.Blocked, rec.ResumeQuery}
TO_OUTBOUND = {rec.Stop, rec.Credit, rec.Ack, rec.ResumeAnswer}
NO_TENSORS = rec.NOT_IN_USE | TO_INBOUND | TO_OUTBOUND | {rec.Goaway, rec.Tap, rec.Untap}

if TYPE_CHECKING:
    from x1_node import Node


class Session:
    """`fin_due` and `aborted` say what the socket has to do once `transmit` has nothing more."""
    def __init__(self, role: str, node: "Node") -> None:
        self.role, self.node, self.reader = role, node, FrameReader()
        self.negotiation = Negotiation(role, node)
        self.state = "first"  # then caps, proof, open, over
        self.fin_due = self.fin_sent = self.aborted = self.failed = False
        self.said_goaway = self.heard_goaway = False
        self.muted = False  # nothing may follow what was written last
        self.goaway_ping = b""  # behind GOAWAY; empty once it was answered
        self.why = ""
        self.raw: list[bytes] = []  # goes out before CONTROL
        self.control: list[tuple[Any, int | OutStream, tuple[rec.Record | rec.Verbatim, ...]]] = []
        self.seq_out = self.seq_in = 0
        self.ping: tuple[bytes, int] | None = None
        self.inbound: Inbound | None = None
        self.outbound: Outbound | None = None
        if role == "dialler":
            self.raw.append(self.negotiation.hello)
            self.say(0, self.negotiation.own)

    @property
    def open(self) -> bool:
        """Both proofs have held, and streams may begin."""
        return self.state == "open" and not self.fin_sent and not self.fin_due

    @property
    def draining(self) -> bool:
        """GOAWAY was said or heard."""
        return self.said_goaway or self.heard_goaway

    @property
    def peer(self) -> Caps | None:
        """The other side's CAPS, once it has come."""
        return self.negotiation.peer

    @property
    def peer_id(self) -> bytes:
        """Its uuid."""
        return self.peer.uuid if self.peer else b""

    @property
    def busy(self) -> bool:
        """A stream of either direction is open or unsettled."""
        return bool(self.inbound and self.inbound.busy or self.outbound and self.outbound.busy)

    @property
    def tensors(self) -> bool:
        """Both sides have the capability."""
        return bool(self.peer and self.peer.capabilities & self.negotiation.own.capabilities & TENSORS)

    # --- Out

    def say(self, stream: int | OutStream, *records: rec.Record | rec.Verbatim, key: Any = None) -> None:
        """Puts one CONTROL frame into the queue; a waiting one with the same key is replaced."""
        entry = key, stream, records
        at = next((at for at, other in enumerate(self.control) if key is not None and other[0] == key), None)
        if at is None:
            self.control.append(entry)
        else:
            self.control[at] = entry

    def transmit(self, most: int = 1 << 20) -> bytes:
        """The next frames to write: CONTROL before DATA. Numbers are given here, where the order is known."""
        if self.muted or self.fin_sent:
            return b""
        frames, self.raw = self.raw, []
        while self.control:
            _, stream, records = self.control.pop(0)
            stream_id = stream if isinstance(stream, int) else self.streams_out.number(stream)
            frames.append(self.control_frame(stream_id, *records))
        size = 0
        while size < most and self.outbound and self.open and (burst := self.outbound.next_frames()):
            frames.extend(burst)
            size += sum(map(len, burst))
        self.settle()
        return b"".join(frames)

    def control_frame(self, stream_id: int, *records: rec.Record | rec.Verbatim) -> bytes:
        """One CONTROL frame with the next number."""
        self.seq_out = (self.seq_out + 1) % 2 ** 32
        return make_frame(CONTROL, stream_id, (self.seq_out - 1) % 2 ** 32, rec.encode(*records))

    def settle(self) -> None:
        """FIN once GOAWAY was said and no stream of either direction is open (RFC-0006, section 7.3)."""
        if self.said_goaway and self.open and self.outbound and not (self.control or self.busy or self.goaway_ping):
            self.fin_due = True

    # --- In

    def receive(self, data: bytes) -> None:
        """Takes bytes. A fault of the other side ends the session: in silence, or with ERROR once it is open."""
        if self.failed or self.state == "over":
            return
        self.reader.buffer += data
        try:
            while not self.failed and self.state != "over" and self.read_frame():
                pass
        except Fault as fault:
            self.fail(fault)

    def read_frame(self) -> bool:
        """One header, or a part of its payload; False when more has to come."""
        reader = self.reader
        if self.state == "first":
            size = self.negotiation.first_size(bytes(reader.buffer[:HEADER.size]))
            if len(reader.buffer) < size:
                return False
            frame = bytes(reader.buffer[:size])
            del reader.buffer[:size]
            self.raw.append(self.negotiation.on_first(frame))
            self.state = "caps"
            return True
        if not reader.left:
            if not (header := reader.read_header()):
                return False
            self.on_header(*header)
        _, kind, stream_id, seq, _ = reader.header
        if kind == CONTROL:
            if (payload := reader.whole()) is None:
                return False
            self.on_control(stream_id, seq, payload)
        elif kind == DATA:
            part = reader.part()
            self.streams_in.take(stream_id, part, reader.left == 0)
            return not reader.left
        elif kind == END:
            self.streams_in.on_end(stream_id, seq)
        else:
            reader.part()
            return not reader.left
        return True

    @property
    def streams_in(self) -> Inbound:
        """A session without tensors has none."""
        if not self.inbound:
            raise Fault(codes.PROTOCOL, "a stream or its record in a session without tensors")
        return self.inbound

    @property
    def streams_out(self) -> Outbound:
        """The same."""
        if not self.outbound:
            raise Fault(codes.PROTOCOL, "a record of a stream in a session without tensors")
        return self.outbound

    def on_header(self, version: int, kind: int, stream_id: int, seq: int, size: int) -> None:
        """RFC-0001, section 8.4, and RFC-0004, section 2: what is judged before the payload comes."""
        is_open = self.state == "open"
        most = min(self.negotiation.own.max_frame_bytes, 16 << 20)
        if kind == CONTROL:
            most = rec.MAX_CONTROL if is_open else rec.MAX_HANDSHAKE_CONTROL
        if version != 1 or kind in (HELLO, ACCEPT) or kind == END and size:
            raise Fault(codes.PROTOCOL, f"version {version}, type {kind}, {size} bytes", stream_id, seq)
        if size > most:
            raise Fault(codes.LIMIT, f"a frame of {size} bytes, over {most}", stream_id, seq)
        if kind == CONTROL:
            if seq != self.seq_in or not is_open and stream_id:
                raise Fault(codes.PROTOCOL, f"CONTROL {seq} of stream {stream_id}, expected {self.seq_in}")
            self.seq_in = (self.seq_in + 1) % 2 ** 32
        elif kind in (DATA, END):
            if not is_open:
                raise Fault(codes.PROTOCOL, "a stream before the proof")
            if kind == DATA:
                self.streams_in.on_data(stream_id, seq, size)

    def on_control(self, stream_id: int, seq: int, payload: bytes) -> None:
        """The records of one frame, in their order. Behind CAPS only PROOF may come until that has held."""
        records = rec.decode(payload, rec.NOT_IN_USE if self.tensors or self.state != "open" else NO_TENSORS)
        if self.state == "caps":
            answer = self.negotiation.on_caps(payload)
            self.state = "proof"
            if answer:
                self.say(0, *answer)
            records.pop(0)
        for record in records:
            if self.state == "proof" and isinstance(record, rec.Proof):
                self.on_proof(record)
            elif self.state == "open" and not isinstance(record, (Caps, rec.Proof)):
                self.on_record(stream_id, seq, record)
            else:
                raise Fault(codes.PROTOCOL, f"{type(record).__name__} may not come now", stream_id, seq)

    def on_proof(self, record: rec.Proof) -> None:
        """The session is open, with tensor streams when both sides have them."""
        if answer := self.negotiation.on_proof(record):
            self.say(0, *answer)
        self.state = "open"
        if self.tensors:
            self.inbound, self.outbound = Inbound(self), Outbound(self)
        self.node.opened(self)

    def on_record(self, stream_id: int, seq: int, record: rec.Record) -> None:
        """One record of the open session."""
        if type(record) in TO_INBOUND:
            self.streams_in.on_record(stream_id, seq, record)
        elif type(record) in TO_OUTBOUND:
            self.streams_out.on_record(stream_id, record)
        elif isinstance(record, rec.Pong):
            if self.ping and record.opaque == self.ping[0]:
                self.node.tell("pong", self, theirMs=record.unix_ms, ownMs=self.ping[1])
                self.ping = None
            if record.opaque == self.goaway_ping:
                self.goaway_ping = b""
        elif isinstance(record, rec.Ping):
            if not self.fin_sent and len(self.control) < MAX_WAITING:
                self.say(0, rec.Pong(record.opaque, self.node.now_ms()))
        elif isinstance(record, rec.Goaway):
            self.heard_goaway = True
            if self.outbound:
                self.outbound.on_goaway(record.code in ELSEWHERE)
            self.node.tell("goaway", self, code=record.code, lastStream=record.last_stream)
        elif isinstance(record, rec.Error):
            self.abort(f"ERROR {record.code}, stream {record.stream}: {record.text}")

    # --- The user

    def send_ping(self) -> None:
        """Asks for a PONG; one at a time is open."""
        if self.open and not self.ping:
            self.ping = self.node.random(8), self.node.now_ms()
            self.say(0, rec.Ping(*self.ping))

    def close(self, code: int = SHUTDOWN) -> None:
        """GOAWAY and PING, and FIN once nothing is open and PONG has come. A session without tensors has no GOAWAY."""
        if not self.open or self.said_goaway:
            return
        self.said_goaway, self.fin_due = True, not self.outbound
        if self.outbound:
            self.ping = self.node.random(8), self.node.now_ms()
            self.goaway_ping = self.ping[0]
            self.say(0, rec.Goaway(self.inbound.last_id if self.inbound else 0, 0, code), rec.Ping(*self.ping))

    # --- Ends

    def fail(self, fault: Fault) -> None:
        """Ends the connection because of the other side: ERROR and FIN once it is open, nothing at all before."""
        self.failed = True
        if self.state == "open" and not self.fin_sent:
            self.control.clear()
            error = rec.Error(fault.code, fault.stream, fault.seq, str(fault).encode()[:256].decode(errors="ignore"))
            self.raw = [self.control_frame(0, error)]
            self.fin_due = True
        else:
            self.aborted = True
        self.end(f"fault {fault.code}: {fault}", at_fault=True)

    def abort(self, why: str) -> None:
        """Ends it at once, without a word."""
        self.failed = self.aborted = True
        self.end(why)

    def on_eof(self) -> None:
        """FIN of the other side."""
        if self.state == "over":
            return
        if self.state == "open" and self.busy:
            self.abort("FIN with streams open")
        elif self.state == "open" and self.reader.between:
            self.fin_due = not self.fin_sent
            self.end("closed")
        else:
            self.abort("FIN inside a frame" if self.state == "open" else "FIN in the handshake")

    def end(self, why: str, at_fault: bool = False) -> None:
        """Streams of both directions break, once. `at_fault`: the other side is."""
        if self.state == "over":
            return
        self.state, self.why = "over", why
        if self.inbound and self.outbound:
            self.inbound.on_end_of_session(at_fault)
            self.outbound.on_end_of_session()
        self.node.ended(self)
