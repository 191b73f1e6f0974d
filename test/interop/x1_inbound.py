"""Tensors on their way in: OPEN to ACK verified, credit, ACK, STOP, RESUME! (RFC-0005, RFC-0006).

Left out, because a peer for tests does not need it: deadlines, taps, limits of memory, settled entries of what was
delivered.
"""
import hashlib
from typing import TYPE_CHECKING, Any

import x1_fields as codes
import x1_records as rec
from x1_book import Arriving, InStream, Key, describe, digest
from x1_fields import Fault
from x1_open import Open
from x1_wire import MIB

if TYPE_CHECKING:
    from x1_session import Session

CANCELLED, TOO_LARGE, UNSUPPORTED, DIGEST_MISMATCH, BAD_STREAM = 1, 2, 3, 4, 6  # codes of STOP
MAX_SKIPPED, WINDOW = 4096, 16 * MIB
ACK_BYTES = 8 * MIB  # sooner than the default of 64 MiB, as in the recorded session


class Inbound:
    """The streams of one session, its credit and its ACKs."""
    def __init__(self, session: "Session") -> None:
        self.session, self.book = session, session.node.book
        self.streams: dict[int, InStream] = {}
        self.opened: set[int] = set()
        self.initial = session.negotiation.own.initial_credit_bytes
        self.window = self.limit = 16 * self.initial
        self.initial_came = self.total_came = 0

    @property
    def busy(self) -> bool:
        """A stream is open or skipped."""
        return bool(self.streams)

    def on_record(self, stream_id: int, seq: int, record: Any) -> None:
        """A record of the other side's stream."""
        if isinstance(record, rec.ResumeQuery):
            return self.on_resume(record.transfer_id)
        if isinstance(record, rec.Blocked) and stream_id == 0:
            return None
        if stream_id == 0 or stream_id % 2 == (self.session.role == "dialler"):
            raise Fault(codes.PROTOCOL, f"{type(record).__name__} with the stream id {stream_id}", stream_id, seq)
        if isinstance(record, Open):
            return self.on_open(stream_id, seq, record)
        if isinstance(record, rec.Blocked):
            if stream_id not in self.opened:
                raise Fault(codes.PROTOCOL, f"BLOCKED of stream {stream_id}, which was never opened", stream_id, seq)
            return self.session.node.tell("blocked", self.session, streamId=stream_id, limit=record.limit_bytes)
        stream = self.find(stream_id, seq)
        if isinstance(record, rec.Close):
            return self.on_close(stream, record)
        self.forget(stream)
        return self.failed(stream, record.code, record.reason) if stream.arriving else None

    def find(self, stream_id: int, seq: int) -> InStream:
        """An open or skipped stream."""
        if not (stream := self.streams.get(stream_id)):
            raise Fault(codes.PROTOCOL, f"stream {stream_id} is not open", stream_id, seq)
        return stream

    # --- OPEN

    def on_open(self, stream_id: int, seq: int, record: Open) -> None:
        """RFC-0005, section 4.7, in its order."""
        if stream_id <= max(self.opened, default=0):
            raise Fault(codes.PROTOCOL, f"OPEN of stream {stream_id} after a larger one", stream_id, seq)
        session, book, key = self.session, self.book, (self.session.peer_id, record.transfer_id)
        stream = self.streams[stream_id] = InStream(stream_id, key, self.initial)
        self.opened.add(stream_id)
        stop, held = self.why_not(key, record), book.held.get(key)
        if key not in book.live:
            book.live[key] = session, stream
        if stop:
            return self.stop(stream, *stop)
        if key in book.held and record.base_offset == 0:
            self.session.node.tell("tensorFailed", session, streamId=stream_id, why="sent again from its first byte")
            held = None
        book.held.pop(key, None)
        stream.arriving = arriving = held or Arriving(record)
        arriving.streams += 1
        stream.base = record.base_offset
        session.node.tell("opened", session, streamId=stream_id, base=stream.base, **describe(arriving.open))
        self.grant(stream)
        return None

    def why_not(self, key: Key, record: Open) -> tuple[int, str, int | None] | None:
        """Code and reason of STOP, and the length of what was delivered before; None: it is taken."""
        book, dtype, held = self.book, record.dtype, self.book.held.get(key)
        total = record.total_bytes
        if len(self.streams) > self.session.negotiation.own.max_streams:
            return TOO_LARGE, "streams", None
        if not self.session.takes_opens:
            return CANCELLED, "closing", None
        if record.codec or record.layout or dtype and not dtype.known or record.digest not in (None, 0, 1, 2):
            return UNSUPPORTED, "codec, layout, dtype or digest", None
        if dtype and total != dtype.size_of(record.shape):
            return BAD_STREAM, "its length is not that of its shape", None
        if key in book.delivered:
            if total not in (None, book.delivered[key]):
                return BAD_STREAM, "delivered with another length", None
            return CANCELLED, "delivered already", book.delivered[key]
        if key in book.stopped:
            return book.stopped[key], "stopped before", None
        if key in book.live:
            return BAD_STREAM, "it is on another stream", None
        if record.base_offset and record.base_offset != (len(held.data) if held else 0):
            return BAD_STREAM, "base is not what is held", None
        if record.base_offset and held:
            was, now = ((each.total_bytes, each.dtype, each.shape, each.digest) for each in (held.open, record))
            return (BAD_STREAM, "another description", None) if was != now else None
        return None

    # --- DATA

    def on_data(self, stream_id: int, seq: int, size: int) -> None:
        """RFC-0005, section 5: judged on the header, before the payload is read."""
        stream = self.find(stream_id, seq)
        initial = max(0, min(size, self.initial - stream.came))
        if stream.came + size > stream.limit or initial and self.initial_came + initial > self.limit:
            raise Fault(codes.CREDIT, f"{stream.came + size} bytes with a credit of {stream.limit}, together "
                        f"{self.initial_came + initial} with {self.limit}", stream_id, seq)
        stream.came += size
        self.initial_came += initial
        if arriving := stream.arriving:
            total = arriving.open.total_bytes
            if stream.close:
                self.stop(stream, BAD_STREAM, "DATA behind CLOSE")
            elif seq != stream.seq:
                self.stop(stream, BAD_STREAM, f"stream {stream_id}: expected seq {stream.seq}, got {seq}")
            elif total is not None and stream.base + stream.came > total:
                self.stop(stream, BAD_STREAM, "more than its length")
            stream.seq += 1

    def take(self, stream_id: int, part: bytes, last: bool) -> None:
        """A part of the frame's payload; after the last one ACK and CREDIT are due."""
        stream = self.streams[stream_id]
        if stream.arriving:
            stream.arriving.data += part
            stream.unacked += len(part)
        self.total_came += len(part)
        if (cut := self.session.node.cut_inbound) and self.total_came >= cut:
            self.session.node.cut_inbound = 0
            return self.session.abort("cut")
        if last:
            self.acknowledge(stream)
            self.grant(stream)
        return None

    def acknowledge(self, stream: InStream) -> None:
        """ACK received: for this stream, or for all of them together."""
        due = [stream] if stream.unacked >= ACK_BYTES else []
        if sum(each.unacked for each in self.streams.values()) >= ACK_BYTES:
            due = [each for each in self.streams.values() if each.unacked]
        for each in due:
            if each.arriving:
                each.unacked = 0
                ack = rec.Ack(each.key[1], each.base + each.came, rec.RECEIVED)
                self.session.say(each.id, ack, key=("ack", each.id))

    def grant(self, stream: InStream) -> None:
        """All that a tensor needs, or `step` more at each limit that is reached; nothing waits in the window here."""
        if stream.arriving:
            total, step = stream.arriving.open.total_bytes, self.session.node.step
            if step is not None:
                if stream.came == stream.limit and step and (total is None or stream.base + stream.came < total):
                    self.raise_limit(stream, stream.limit + step)
            elif total is not None:
                self.raise_limit(stream, total - stream.base)
            elif stream.limit - stream.came < WINDOW // 2:
                self.raise_limit(stream, stream.came + WINDOW)
        formula, left = self.initial_came + self.window, self.limit - self.initial_came
        if formula >= self.limit + self.window // 4 > 0 or formula > self.limit and left < self.initial:
            self.limit = formula
            self.session.say(0, rec.Credit(formula), key=("credit", 0))

    def raise_limit(self, stream: InStream, limit: int) -> None:
        """CREDIT of a stream, where it is more than before."""
        if limit > stream.limit:
            stream.limit = limit
            self.session.say(stream.id, rec.Credit(limit), key=("credit", stream.id))

    # --- The end of a stream

    def on_close(self, stream: InStream, record: rec.Close) -> None:
        """RFC-0005, section 6.1."""
        if not (arriving := stream.arriving):
            return
        length, total = stream.base + stream.came, arriving.open.total_bytes
        for bad, why in (
            (stream.close is not None or record.transfer_id != stream.key[1], "a second CLOSE, or another transfer"),
            (record.status != 0, f"status {record.status}"),
            (record.algorithm != arriving.algorithm, f"digest {record.algorithm}, OPEN said {arriving.algorithm}"),
            (record.raw_bytes != length or total not in (None, length), f"{record.raw_bytes} bytes, {length} came"),
        ):
            if bad:
                return self.stop(stream, BAD_STREAM, why)
        stream.close = record
        if record.digest != digest(arriving.algorithm, arriving.data):
            self.stop(stream, DIGEST_MISMATCH, "digest differs")

    def on_end(self, stream_id: int, seq: int) -> None:
        """RFC-0005, sections 6.3 and 9: it is handed over, or not at all."""
        stream = self.find(stream_id, seq)
        arriving, session = stream.arriving, self.session
        if arriving and (not stream.close or seq != stream.seq):
            self.stop(stream, BAD_STREAM, f"END with seq {seq} after {stream.seq}, CLOSE: {stream.close is not None}")
            arriving = None
        self.forget(stream)
        if not arriving:
            return None
        length = len(arriving.data)
        self.book.delivered[stream.key] = length
        session.node.tell("tensor", session, streamId=stream_id, bytes=length, streams=arriving.streams,
                          base=stream.base, sha256=hashlib.sha256(arriving.data).hexdigest(), **describe(arriving.open))
        if session.node.cut_at_end:
            session.node.cut_at_end = False
            return session.abort("cut")
        return session.say(stream_id, rec.Ack(stream.key[1], length, rec.VERIFIED), key=("ack", stream_id))

    def stop(self, stream: InStream, code: int, reason: str, delivered: int | None = None) -> None:
        """STOP, behind ACK verified for what was delivered before; from here on the stream is skipped."""
        ack = () if delivered is None else (rec.Ack(stream.key[1], delivered, rec.VERIFIED),)
        self.session.say(stream.id, *ack, rec.Stop(code, reason))
        if stream.arriving:
            self.failed(stream, code, reason)
        stream.arriving, stream.code = None, code
        if sum(each.arriving is None for each in self.streams.values()) > MAX_SKIPPED:
            raise Fault(codes.LIMIT, "too many skipped streams")

    def failed(self, stream: InStream, code: int, reason: str) -> None:
        """Nothing of it is handed over."""
        self.session.node.tell("tensorFailed", self.session, streamId=stream.id, code=code, why=reason)

    def forget(self, stream: InStream) -> None:
        """END or RESET has come."""
        del self.streams[stream.id]
        if self.book.live.get(stream.key) == (self.session, stream):
            del self.book.live[stream.key]

    # --- Across connections

    def on_resume(self, transfer_id: bytes) -> None:
        """RFC-0006, section 6.3."""
        session, book, key = self.session, self.book, (self.session.peer_id, transfer_id)
        other, _ = book.live.get(key, (None, None))
        if other is session:
            raise Fault(codes.PROTOCOL, "RESUME? of a stream that is open here")
        if session.draining:
            return
        if other:
            other.abort("its transfer goes on elsewhere")
        held = book.held.get(key)
        offset = None if key in book.delivered else len(held.data) if held else 0
        session.node.tell("resumeAsked", session, transferId=transfer_id.hex(), offset=offset)
        session.say(0, rec.ResumeAnswer(transfer_id, offset))

    def on_end_of_session(self) -> None:
        """What is open is held, what is skipped stays stopped."""
        for stream in list(self.streams.values()):
            mine = self.book.live.get(stream.key) == (self.session, stream)
            self.forget(stream)
            if stream.arriving and stream.id != self.session.fault_stream:
                self.book.held[stream.key] = stream.arriving
            elif mine and not stream.arriving and stream.key not in self.book.delivered:
                self.book.stopped[stream.key] = stream.code
