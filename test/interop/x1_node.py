"""The node around the sessions: who is connected, what waits for whom, and what outlives a connection. No sockets."""
import hashlib
import json
from collections.abc import Callable
from typing import Any

from x1_caps import TENSORS, Caps
from x1_book import Book
from x1_outbound import UNFINISHED, Transfer
from x1_session import Session
from x1_wire import key_id


def emit(event: str, **fields: Any) -> None:
    """Prints one event as a line of JSON."""
    print(json.dumps({"event": event, **fields}), flush=True)


class Node:
    """Sessions tell it what happens; `on_broken` hears of each transfer that waits for another connection."""
    def __init__(self, key: bytes, community: str, node_id: bytes, random: Callable[[int], bytes],
                 now_ms: Callable[[], int], *, max_streams: int = 4096, max_frame: int = 16 << 20,
                 credit: int = 256 << 10, step: int | None = None, keepalive_s: int = 12,
                 boot_epoch: int | None = None) -> None:
        self.key, self.random, self.now_ms, self.step = key, random, now_ms, step
        epoch = int.from_bytes(random(4), "big") if boot_epoch is None else boot_epoch
        self.caps = Caps(1, keepalive_s, max_streams, max_frame, credit, TENSORS, node_id, bytes(16),
                         hashlib.sha256(community.encode()).digest()[:8], key_id(key), epoch)
        self.book, self.seen = Book(), set[bytes]()
        self.sessions: list[Session] = []
        self.transfers: list[Transfer] = []
        self.cut_inbound = 0  # the connection that has brought so many bytes is cut
        self.says_blocked = True
        self.lie: int | None = None  # what RESUME! says in place of the truth
        self.cut_at_end = False  # or the one on which a tensor was handed over, before its ACK
        self.on_broken: Callable[[Transfer], None] = lambda _: None

    def admit(self, hello: bytes) -> bool:
        """Whether this HELLO is here for the first time."""
        pair = hello[14:30] + hello[46:50]
        is_new = pair not in self.seen
        self.seen.add(pair)
        return is_new

    def tell(self, event: str, session: Session, **fields: Any) -> None:
        """An event about a session."""
        emit(event, peer=session.peer_id.hex(), **fields)

    def opened(self, session: Session) -> None:
        """A proven session: what waits for its peer goes on there."""
        self.sessions.append(session)
        caps = session.peer
        assert caps
        self.tell("peer", session, direction="outbound" if session.role == "dialler" else "inbound",
                  tensors=bool(caps.capabilities & TENSORS), credit=caps.initial_credit_bytes,
                  maxFrame=caps.max_frame_bytes, maxStreams=caps.max_streams, epoch=caps.boot_epoch)
        self.route()

    def send(self, transfer: Transfer) -> None:
        """To a peer's uuid; it waits until there is a session."""
        self.transfers.append(transfer)
        self.route()

    def route(self) -> None:
        """Begins what waits, and asks about what broke, on the newest session of its peer that is not draining."""
        for transfer in self.transfers:
            session = next((each for each in reversed(self.sessions) if each.open and each.outbound
                            and (transfer.late or not each.draining) and each.peer_id.hex() == transfer.to), None)
            if session and session.outbound and transfer.state in UNFINISHED:
                if transfer.state == "waiting" or not transfer.asks:
                    session.outbound.begin(transfer, transfer.base)
                else:
                    session.outbound.ask(transfer)

    def delivered(self, transfer: Transfer, session: Session, stream_id: int) -> None:
        """The receiver has it whole."""
        self.settle(transfer)
        self.tell("sent", session, id=transfer.name, streamId=stream_id, bytes=len(transfer.data),
                  sha256=hashlib.sha256(transfer.data).hexdigest(), streams=transfer.streams, acked=transfer.acked)

    def failed(self, transfer: Transfer, session: Session, stream_id: int, code: int | None, why: str) -> None:
        """It is over without having been delivered, as far as is known."""
        self.settle(transfer)
        self.tell("sendFailed", session, id=transfer.name, streamId=stream_id, code=code, why=why)

    def settle(self, transfer: Transfer) -> None:
        """Nothing more will be done for it."""
        transfer.state = "done"
        self.transfers = [each for each in self.transfers if each is not transfer]

    def ended(self, session: Session) -> None:
        """What was on it goes on elsewhere, if there is an elsewhere."""
        was_open = session in self.sessions
        self.sessions = [each for each in self.sessions if each is not session]
        self.tell("closed" if was_open else "refused", session, why=session.why,
                  said=session.said_goaway, heard=session.heard_goaway)
        for transfer in self.transfers:
            if transfer.state == "broken":
                self.on_broken(transfer)
        self.route()
