"""Tensors on their way in: OPEN to ACK verified, credit, ACK, STOP, RESUME! (RFC-0005, RFC-0006).

Left out, because a peer for tests does not need it: deadlines, taps, and all that forgets (limits of memory, the resume
time of what is held, the bound on what is remembered as delivered).
"""
import hashlib
from typing import TYPE_CHECKING, Any

import x1_fields as codes
import x1_records as rec
from x1_book import Arriving, InStream, Key, describe, digest, is_json, is_mixed
from x1_fields import Fault
from x1_open import Open
from x1_wire import MIB

if TYPE_CHECKING:
    from x1_session import Session

CANCELLED, TOO_LARGE, UNSUPPORTED, DIGEST_MISMATCH, BAD_STREAM = 1, 2, 3, 4, 6  # codes of STOP
WINDOW = 16 * MIB
ACK_BYTES = 8 * MIB  # sooner than the default of 64 MiB, as in the recorded sessions
MIXED_ACK_BYTES, MIXED_MS = 256 << 10, 1000


class Inbound:
    """The streams of one session, its credit and its ACKs."""
    def __init__(self, session: "Session") -> None:
        self.session, self.book = session, session.node.book
        self.streams: dict[int, InStream] = {}
        self.last_id = 0
        self.unacked: set[InStream] = set()
        self.unacked_bytes = self.mixed_until_ms = 0
        self.asked: set[bytes] = set()  # RESUME? of a stream that is open here: answered when that is over
        self.initial = session.negotiation.own.initial_credit_bytes
        self.window = self.limit = 4 * self.initial
        self.initial_came = self.total_came = 0

    @property
    def busy(self) -> bool:
        """A stream is open or skipped."""
        return bool(self.streams)

    def on_record(self, stream_id: int, seq: int, record: Any) -> None:
        """A record of the other side's stream."""
        if isinstance(record, rec.ResumeQuery):
            return self.on_resume(record.transfer_id)
        if isinstance(record, rec.Blocked):  # of whatever stream: it changes nothing
            return self.session.node.tell("blocked", self.session, streamId=stream_id, limit=record.limit_bytes)
        if isinstance(record, Open):
            return self.on_open(stream_id, seq, record)
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
        session, book, key = self.session, self.book, (self.session.peer_id, record.transfer_id)
        if stream_id <= self.last_id or stream_id % 2 == (session.role == "dialler"):
            raise Fault(codes.PROTOCOL, f"OPEN of stream {stream_id} after {self.last_id}", stream_id, seq)
        self.last_id = stream_id
        stream = self.streams[stream_id] = InStream(stream_id, key, self.initial)
        if stop := self.why_not(key, record):
            return self.stop(stream, *stop)
        held = book.held.pop(key, None)
        if why := self.why_not_here(held, record):
            self.stop(stream, BAD_STREAM, why)
            return self.failed(stream, BAD_STREAM, why) if held else None
        stream.arriving = arriving = held or Arriving(record)
        arriving.streams += 1
        stream.base = record.base_offset
        book.live[key] = session, stream
        session.node.tell("opened", session, streamId=stream_id, base=stream.base, **describe(arriving.open))
        if is_mixed(self.streams.values()):
            self.mixed_until_ms = session.node.now_ms() + MIXED_MS
            self.acknowledge()
        self.grant(stream)
        return None

    def why_not(self, key: Key, record: Open) -> tuple[int, str] | None:
        """Code and reason of STOP by steps 3 to 8."""
        dtype, total = record.dtype, record.total_bytes
        known = not dtype or dtype.known and dtype.countable(record.shape)
        steps = (
            (len(self.streams) > self.session.negotiation.own.max_streams, TOO_LARGE, "streams"),
            (record.codec or record.layout or not known or record.digest not in (None, 0, 1, 2), UNSUPPORTED,
             "codec, layout, dtype or digest"),
            (dtype and total != dtype.size_of(record.shape), BAD_STREAM, "its length is not that of its shape"),
            (not is_json(record.user_metadata), BAD_STREAM, "metadata that is no JSON"),
            (key in self.book.delivered, BAD_STREAM, "delivered already"),
            (key in self.book.live, BAD_STREAM, "it is on another stream"),
        )
        return next(((code, why) for bad, code, why in steps if bad), None)

    @staticmethod
    def why_not_here(held: Arriving | None, record: Open) -> str | None:
        """Steps 9 and 10: what is held is given up then."""
        if record.base_offset != (len(held.data) if held else 0):
            return "base is not what is held"
        first = held.open if held else record
        was, now = ((each.total_bytes, each.dtype, each.shape, each.digest) for each in (first, record))
        return None if was == now else "another description"

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
            if seq != stream.seq:
                self.stop(stream, BAD_STREAM, f"stream {stream_id}: expected seq {stream.seq}, got {seq}")
            elif total is not None and stream.base + stream.came > total:
                self.stop(stream, BAD_STREAM, "more than its length")
            else:
                stream.seq += 1

    def take(self, stream_id: int, part: bytes, last: bool) -> None:
        """A part of the frame's payload; after the last one ACK and CREDIT are due."""
        stream = self.streams[stream_id]
        if stream.arriving:
            stream.arriving.data += part
            self.unacked.add(stream)
            self.unacked_bytes += len(part)
        self.total_came += len(part)
        if (cut := self.session.node.cut_inbound) and self.total_came >= cut:
            self.session.node.cut_inbound = 0
            return self.session.abort("cut")
        if last:
            now_ms = self.session.node.now_ms()
            if is_mixed(self.streams.values()):
                self.mixed_until_ms = now_ms + MIXED_MS
            if self.unacked_bytes >= (MIXED_ACK_BYTES if now_ms < self.mixed_until_ms else ACK_BYTES):
                self.acknowledge()
            self.grant(stream)
        return None

    def acknowledge(self) -> None:
        """ACK received for every stream on which something came since the last time (RFC-0006, section 3)."""
        for each in sorted(self.unacked, key=lambda stream: stream.id):
            if each.arriving and each.id in self.streams:
                ack = rec.Ack(each.key[1], len(each.arriving.data), rec.RECEIVED)
                self.session.say(each.id, ack, key=("ack", each.id))
        self.unacked.clear()
        self.unacked_bytes = 0

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
        if formula > self.limit and 4 * (formula - self.limit) >= left:
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

    def on_end(self, stream_id: int, seq: int) -> None:
        """RFC-0005, sections 6.3 and 9: it is handed over, or not at all."""
        stream = self.find(stream_id, seq)
        arriving, session = stream.arriving, self.session
        length = len(arriving.data) if arriving else 0
        if arriving and (not stream.close or seq != stream.seq or stream.close.raw_bytes != length):
            self.stop(stream, BAD_STREAM, f"END with seq {seq} after {stream.seq}, CLOSE: {stream.close}")
        elif arriving and stream.close and stream.close.digest != digest(arriving.algorithm, arriving.data):
            self.stop(stream, DIGEST_MISMATCH, "digest differs")
        elif arriving:
            self.book.delivered.add(stream.key)
        arriving = stream.arriving  # None where it was stopped
        self.forget(stream)
        if not arriving:
            return None
        session.node.tell("tensor", session, streamId=stream_id, bytes=length, streams=arriving.streams,
                          base=stream.base, sha256=hashlib.sha256(arriving.data).hexdigest(), **describe(arriving.open))
        if session.node.cut_at_end:
            session.node.cut_at_end = False
            return session.abort("cut")
        return session.say(stream_id, rec.Ack(stream.key[1], length, rec.VERIFIED), key=("ack", stream_id))

    def stop(self, stream: InStream, code: int, reason: str) -> None:
        """STOP; from here on the stream is skipped, and nothing of its transfer is known any more."""
        self.session.say(stream.id, rec.Stop(code, reason))
        if stream.arriving:
            stream.arriving = None
            self.failed(stream, code, reason)
            self.let_go(stream)
        most = self.session.negotiation.own.max_streams
        if sum(each.arriving is None for each in self.streams.values()) > most:
            raise Fault(codes.LIMIT, "too many skipped streams")

    def failed(self, stream: InStream, code: int, reason: str) -> None:
        """Nothing of it is handed over."""
        self.session.node.tell("tensorFailed", self.session, streamId=stream.id, code=code, why=reason)

    def forget(self, stream: InStream) -> None:
        """END or RESET has come."""
        del self.streams[stream.id]
        self.let_go(stream)

    def let_go(self, stream: InStream) -> None:
        """Its transfer is on no stream any more; who has asked for it is answered."""
        if self.book.live.get(stream.key) == (self.session, stream):
            del self.book.live[stream.key]
        if stream.key[1] in self.asked:
            self.asked.discard(stream.key[1])
            self.on_resume(stream.key[1])

    # --- Across connections

    def on_resume(self, transfer_id: bytes) -> None:
        """RFC-0006, section 6.3."""
        session, book, key = self.session, self.book, (self.session.peer_id, transfer_id)
        other, _ = book.live.get(key, (None, None))
        if other is session:
            return self.asked.add(transfer_id)
        if other:
            other.abort("its transfer goes on elsewhere")
        held = book.held.get(key)
        offset = None if key in book.delivered else len(held.data) if held else 0
        offset = session.node.lie or offset
        session.node.tell("resumeAsked", session, transferId=transfer_id.hex(), offset=offset)
        session.say(0, rec.ResumeAnswer(transfer_id, offset))
        return None

    def on_end_of_session(self, at_fault: bool) -> None:
        """What is open is held, unless we ended the connection because of the other side (RFC-0006, section 6.1)."""
        self.asked.clear()
        for stream in list(self.streams.values()):
            self.forget(stream)
            if stream.arriving and at_fault:
                self.failed(stream, BAD_STREAM, self.session.why)
            elif stream.arriving:
                self.book.held[stream.key] = stream.arriving
