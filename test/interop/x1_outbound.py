"""Tensors on their way out: OPEN, DATA within credit, CLOSE, END, and what the receiver says (RFC-0005, RFC-0006).

Larger priorities go first, equal ones take turns. Left out: deadlines, and the bound on bytes in flight of smaller
priorities (RFC-0006, section 4.2).
"""
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import x1_fields as codes
import x1_records as rec
from x1_book import digest
from x1_fields import Fault
from x1_inbound import CANCELLED
from x1_open import Open
from x1_wire import DATA, END, MIB, make_frame

if TYPE_CHECKING:
    from x1_session import Session

UNFINISHED = ("waiting", "broken")
MAX_ASKED = 64


@dataclass(eq=False)
class Transfer:
    """One tensor for one peer. `state`: waiting, broken, asked, sending, done."""
    name: str
    to: str
    open: Open
    data: bytes
    chunk_bytes: int = MIB
    wrong_digest: bool = False
    cut_at: int = 0  # after so many bytes of the tensor nothing more is written
    cut_after_ack: int = 0  # and when so many were ACKed the connection is cut
    reset_at: int = -1  # RESET CANCELLED after so many bytes
    lose_ack: bool = False  # the first ACK verified is taken for lost
    base: int = 0  # where it begins, unasked
    asks: bool = True  # RESUME? after a break; otherwise it begins anew
    late: bool = False  # it is opened although GOAWAY has come, or no more streams may be open
    available: int | None = None  # how much of it its source has given; None: all
    state: str = "waiting"
    ends: set[int | None] = field(default_factory=set)  # boot epochs with which END was written
    acked: int = 0
    streams: int = 0

    @property
    def algorithm(self) -> int:
        """Of CLOSE."""
        return rec.CRC32 if self.open.digest is None else self.open.digest

    def close_record(self) -> rec.Close:
        """CLOSE; with a digest that is wrong on purpose when asked for."""
        right = digest(self.algorithm, self.data)
        made = bytes(byte ^ 0xFF for byte in right) if self.wrong_digest else right
        return rec.Close(self.open.transfer_id, len(self.data), self.algorithm, 0, made)


class OutStream:
    """A transfer on this connection. Its id is given when OPEN is written."""
    def __init__(self, transfer: Transfer, base: int, limit: int) -> None:
        self.transfer, self.base, self.limit = transfer, base, limit
        self.id = self.sent = self.seq = self.acked = 0
        self.ended = False

    @property
    def rest(self) -> int:
        """Bytes that were not written."""
        return len(self.transfer.data) - self.base - self.sent


class Outbound:
    """The streams of one session that we send."""
    def __init__(self, session: "Session") -> None:
        assert session.peer
        self.session, self.caps = session, session.peer
        self.next_id = 1 if session.role == "dialler" else 2
        self.initial = self.caps.initial_credit_bytes
        self.limit = 4 * self.initial
        self.initial_sent = 0
        self.streams: list[OutStream] = []  # open or ended, in the order of turns
        self.waiting: list[tuple[Transfer, int]] = []  # for one of max_streams
        self.asks: list[Transfer] = []
        self.asked: dict[bytes, Transfer] = {}
        self.blocked: set[tuple[int, int]] = set()  # (stream, limit) of each BLOCKED

    @property
    def busy(self) -> bool:
        """A stream is open, or ended and not answered."""
        return bool(self.streams)

    # --- Begin

    def begin(self, transfer: Transfer, base: int = 0) -> None:
        """Opens a stream for it as soon as the receiver lets one more be open."""
        transfer.state = "sending"
        self.waiting.append((transfer, base))
        self.fill()

    def fill(self) -> None:
        """OPEN for those that wait."""
        while self.waiting and self.session.open and (self.waiting[0][0].late or not self.session.draining and sum(
                not each.ended for each in self.streams) < self.caps.max_streams):
            transfer, base = self.waiting.pop(0)
            stream = OutStream(transfer, base, self.initial)
            transfer.streams += 1
            self.streams.append(stream)
            self.session.say(stream, replace(transfer.open, base_offset=base), key=stream)

    def number(self, stream: OutStream) -> int:
        """The id of a stream; a new one when its OPEN is written."""
        if stream.id == 0:
            stream.id, self.next_id = self.next_id, self.next_id + 2
        return stream.id

    def ask(self, transfer: Transfer) -> None:
        """RESUME? for a transfer that broke; 64 of them at most are without an answer."""
        transfer.state = "asked"
        self.asks.append(transfer)
        while self.asks and len(self.asked) < MAX_ASKED:
            transfer = self.asks.pop(0)
            self.asked[transfer.open.transfer_id] = transfer
            self.session.say(0, rec.ResumeQuery(transfer.open.transfer_id))

    # --- DATA

    def next_frames(self) -> list[bytes]:
        """A DATA frame of the stream whose turn it is, or its CLOSE and END; nothing when all of them wait."""
        if self.session.muted:
            return []
        for stream in sorted(self.streams, key=lambda each: -each.transfer.open.priority):
            if stream.id and not stream.ended and (frames := self.frames_of(stream)):
                if stream in self.streams:
                    self.streams.remove(stream)
                    self.streams.append(stream)
                return frames
        return []

    def frames_of(self, stream: OutStream) -> list[bytes]:
        """What this one can write now."""
        transfer, at = stream.transfer, stream.base + stream.sent
        if 0 <= transfer.reset_at <= at:
            frame = self.session.control_frame(stream.id, rec.Reset(CANCELLED, "cancelled"))
            self.over(stream)
            self.session.node.failed(transfer, self.session, stream.id, CANCELLED, "cancelled")
            return [frame]
        if stream.rest == 0:
            stream.ended = True
            transfer.ends.add(self.caps.boot_epoch)
            close = self.session.control_frame(stream.id, transfer.close_record())
            self.fill()
            return [close, make_frame(END, stream.id, stream.seq)]
        given = len(transfer.data) if transfer.available is None else transfer.available
        if given <= at:
            return []
        size = min(given - at, transfer.chunk_bytes, self.caps.max_frame_bytes, self.credit(stream))
        if size <= 0:
            return list(self.say_blocked(stream))
        frame = make_frame(DATA, stream.id, stream.seq, transfer.data[at:at + size])
        initial = max(0, min(size, self.initial - stream.sent))
        self.initial_sent += initial
        stream.sent, stream.seq = stream.sent + size, stream.seq + 1
        if transfer.cut_at and at + size >= transfer.cut_at:
            self.session.muted = True
            frame = frame[:len(frame) - (at + size - transfer.cut_at)]
        return [frame]

    def credit(self, stream: OutStream) -> int:
        """How many bytes both limits leave."""
        left, initial = self.limit - self.initial_sent, max(0, self.initial - stream.sent)
        return min(stream.limit - stream.sent, left) if left < initial else stream.limit - stream.sent

    def say_blocked(self, stream: OutStream) -> Iterator[bytes]:
        """BLOCKED, once for each value of a limit, unless the node is not to say it."""
        alone = stream.limit == stream.sent
        mark = (stream.id, stream.limit) if alone else (0, self.limit)
        if mark not in self.blocked and self.session.node.says_blocked:
            self.blocked.add(mark)
            self.session.node.tell("standing", self.session, streamId=stream.id, sent=stream.sent, limit=mark[1])
            yield self.session.control_frame(mark[0], rec.Blocked(mark[1]))

    # --- What the receiver says

    def on_record(self, stream_id: int, record: Any) -> None:
        """RFC-0005, section 12.1."""
        if isinstance(record, rec.ResumeAnswer):
            return self.on_answer(record)
        if isinstance(record, rec.Credit) and stream_id == 0:
            self.limit = max(self.limit, record.limit_bytes)
            return None
        stream = next((each for each in self.streams if each.id == stream_id != 0), None)
        if not stream:
            return None  # it is over, or never was
        if isinstance(record, rec.Credit):
            stream.limit = max(stream.limit, record.limit_bytes)
        elif isinstance(record, rec.Stop):
            self.on_stop(stream, record)
        elif record.transfer_id == stream.transfer.open.transfer_id:
            self.on_ack(stream, record)
        return None

    def on_ack(self, stream: OutStream, record: rec.Ack) -> None:
        """RFC-0006, section 3."""
        transfer, come, sent = stream.transfer, record.contiguous_bytes, stream.base + stream.sent
        verified = record.level != rec.RECEIVED
        if come > sent or verified and stream.ended and come != sent:
            raise Fault(codes.PROTOCOL, f"ACK of {come} bytes, {sent} were sent", stream.id)
        if not verified:
            stream.acked, transfer.acked = max(stream.acked, come), max(transfer.acked, come)
            if transfer.cut_after_ack and come >= transfer.cut_after_ack:
                transfer.cut_at = transfer.cut_after_ack = 0
                self.session.abort("cut")
        elif transfer.lose_ack:
            transfer.lose_ack = False
        elif stream.ended:  # before that it cannot be true
            self.over(stream)
            self.session.node.delivered(transfer, self.session, stream.id)

    def on_stop(self, stream: OutStream, record: rec.Stop) -> None:
        """RFC-0005, section 8: RESET CANCELLED unless END is out, and the transfer fails."""
        if not stream.ended:
            self.session.say(stream.id, rec.Reset(CANCELLED, record.reason))
        self.over(stream)
        self.session.node.failed(stream.transfer, self.session, stream.id, record.code, record.reason)

    def on_goaway(self, elsewhere: bool) -> None:
        """RFC-0006, section 7.1: what was not opened goes to another connection, or fails."""
        waiting, self.waiting = self.waiting, []
        for transfer, _ in waiting:
            transfer.state = "broken"
            if not elsewhere:
                self.session.node.failed(transfer, self.session, 0, None, "the peer is leaving")

    def on_answer(self, record: rec.ResumeAnswer) -> None:
        """RFC-0006, section 6.4."""
        if not (transfer := self.asked.pop(record.transfer_id, None)):
            return
        offset, node, session = record.offset, self.session.node, self.session
        node.tell("resumeAnswered", session, id=transfer.name, offset=offset)
        if offset is None:
            node.delivered(transfer, session, 0)
        elif offset > len(transfer.data):
            node.failed(transfer, session, 0, None, f"RESUME! {offset} of {len(transfer.data)} bytes")
        elif offset == 0 and transfer.ends - {self.caps.boot_epoch}:
            node.failed(transfer, session, 0, None, "outcome unknown")
        else:
            self.begin(transfer, offset)
        if self.asks:
            self.ask(self.asks.pop(0))

    def over(self, stream: OutStream) -> None:
        """Nothing more will be heard of it."""
        self.streams.remove(stream)
        self.fill()

    def on_end_of_session(self) -> None:
        """All of it is broken, also what was not opened: it is asked for on the next session."""
        opened, waiting = (each.transfer for each in self.streams), (transfer for transfer, _ in self.waiting)
        for transfer in [*opened, *waiting, *self.asks, *self.asked.values()]:
            transfer.state = "broken"
        self.streams, self.waiting = [], []
