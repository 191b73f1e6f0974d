"""Plays each side of the golden sessions: fed with what the other side wrote, ours has to write the same frames.

Only the reasons of RESET and STOP are free: they are for people.
"""
import hashlib
from typing import Any

from x1_node import Node
from x1_inbound import CANCELLED
from x1_open import DTYPES, Open
from x1_outbound import Transfer
from x1_records import CRC32, NO_DIGEST, OP_OF, SHA256, Reset, Stop, split
from x1_session import Session
from x1_wire import CONTROL, HEADER

DIGESTS = {"crc32": CRC32, "sha256": SHA256, "none": NO_DIGEST}


def pattern(at: int, size: int) -> bytes:
    """Byte i of every tensor is (3 + 7 i) mod 256."""
    start = (3 + 7 * at) % 256
    return (bytes((start + 7 * index) % 256 for index in range(256)) * (size // 256 + 1))[:size]


class Player(Node):
    """A node with one session, fixed randomness and no voice."""
    def __init__(self, session: dict[str, Any], role: str) -> None:
        side = session[role]
        self.draw(side["random"])
        super().__init__(session["key"].encode(), session["community"], bytes.fromhex(side["nodeId"]),
                         lambda size: self.draws[size], lambda: session["unixMs"], credit=side["initialCredit"],
                         boot_epoch=side["bootEpoch"])
        self.says_blocked = False  # it may be said, and the recorded side does not
        self.events: list[dict[str, Any]] = []

    def draw(self, drawn: dict[str, str]) -> None:
        """The random bytes of the next connection, by how many are asked for."""
        self.draws = {int(size): bytes.fromhex(each) for size, each in drawn.items()}

    def tell(self, event: str, session: Session, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def act(self, session: Session, step: dict[str, Any]) -> None:
        """What the step says that this side does."""
        does, transfer_id = step["does"], bytes.fromhex(step.get("transferId", ""))
        own = next((each for each in self.transfers if each.open.transfer_id == transfer_id), None)
        if does == "ping":
            session.send_ping()
        elif does == "close":
            session.close()
        elif does == "stop" and session.inbound:
            session.inbound.stop(self.book.live[session.peer_id, transfer_id][1], CANCELLED, step["reason"])
        elif does == "more" and own:
            own.available = None
        elif does == "reset" and own:
            own.reset_at = 0
        elif does == "send":
            tensor = step["tensor"]
            algorithm = DIGESTS[tensor["digest"]]
            description = Open(
                bytes.fromhex(tensor["transferId"]), tensor["bytes"], topic=tensor["topic"],
                dtype=DTYPES[tensor["dtype"]] if "dtype" in tensor else None, shape=tuple(tensor.get("shape", ())),
                priority=tensor.get("priority", 128), digest=None if algorithm == CRC32 else algorithm)
            self.send(Transfer("golden", session.peer_id.hex(), description, pattern(0, tensor["bytes"]),
                               available=step.get("available")))


def frame_of(step: dict[str, Any]) -> bytes:
    """The whole frame of a step; that of FIN is empty."""
    tail = step.get("tail")
    return bytes.fromhex(step["hex"]) + (pattern(tail["at"], tail["bytes"]) if tail else b"")


def write_all(session: Session) -> bytes:
    """Everything that a session has to write now."""
    written = b""
    while part := session.transmit():
        written += part
    return written


def without_reasons(written: bytes) -> list[Any]:
    """Its frames: header and payload, CONTROL as its records, RESET and STOP by their code alone."""
    frames: list[Any] = []
    while written:
        header = HEADER.unpack_from(written)
        payload, written = written[HEADER.size:HEADER.size + header[4]], written[HEADER.size + header[4]:]
        if header[1] == CONTROL:
            frames.append((*header[:4], [(op, critical, body[:2] if op in (OP_OF[Reset], OP_OF[Stop]) else body)
                                         for op, critical, body in split(payload)]))
        else:
            frames.append((*header, payload))
    return frames


def due_tensors(steps: list[dict[str, Any]], role: str) -> list[str]:
    """SHA-256 of each tensor that this side has to get: of all that were sent, those that nobody gave up."""
    over = {step["transferId"] for step in steps if step.get("does") in ("reset", "stop")}
    sent = (step["tensor"] for step in steps if step.get("does") == "send" and step["side"] != role)
    return sorted(hashlib.sha256(pattern(0, each["bytes"])).hexdigest() for each in sent
                  if each["transferId"] not in over)


def replay(recorded: dict[str, Any], role: str) -> str | None:
    """Why this side does not fit; None when each of its frames does, and it got every tensor."""
    player, steps = Player(recorded, role), recorded["steps"]
    session = Session(role, player)
    written, expected = write_all(session), b""
    for number, step in enumerate(steps):
        if step.get("side") == role:
            player.act(session, step)
        elif "cut" in step:
            session.end("lost")
            player.draw(step["cut"][role])
            session = Session(role, player)
        elif step.get("from") == role:
            expected += frame_of(step)
            session.fin_sent = session.fin_sent or session.fin_due and not step["hex"]
        elif step.get("hex"):
            session.receive(frame_of(step))
        elif "from" in step:
            session.on_eof()
        if number + 1 == len(steps) or "from" in steps[number + 1]:
            written += write_all(session)
        found, due = without_reasons(written), without_reasons(expected)
        if found[:len(due)] != due:
            return f"{role}, step {number} ({step.get('comment')}): {session.why or 'another frame'}"
        if len(found) == len(due):
            written = expected = b""
    came = sorted(event["sha256"] for event in player.events if event["event"] == "tensor")
    if written or expected or came != due_tensors(steps, role) or not session.fin_sent or session.why != "closed":
        return f"{role}: {len(written)} bytes for {len(expected)}, {len(came)} tensors, {session.why}"
    return None


def session_fault(recorded: dict[str, Any]) -> str | None:
    """Of both sides, the first one."""
    faults = (replay(recorded, role) for role in ("dialler", "acceptor"))
    return next((f"{recorded['name']}: {fault}" for fault in faults if fault), None)
