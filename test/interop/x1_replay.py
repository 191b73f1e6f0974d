"""Plays each side of the golden sessions: fed with what the other side wrote, ours has to write the same bytes."""
import hashlib
from typing import Any

from x1_node import Node
from x1_open import DTYPES, Open
from x1_outbound import Transfer
from x1_records import CRC32, SHA256
from x1_session import Session

DIGESTS = {"crc32": CRC32, "sha256": SHA256}


def pattern(at: int, size: int) -> bytes:
    """Byte i of every tensor is (3 + 7 i) mod 256."""
    start = (3 + 7 * at) % 256
    return (bytes((start + 7 * index) % 256 for index in range(256)) * (size // 256 + 1))[:size]


class Player(Node):
    """A node with one session, fixed randomness and no voice."""
    def __init__(self, session: dict[str, Any], role: str) -> None:
        side = session[role]
        draws = {int(size): bytes.fromhex(drawn) for size, drawn in side["random"].items()}
        super().__init__(session["key"].encode(), session["community"], bytes.fromhex(side["nodeId"]),
                         draws.__getitem__, lambda: session["unixMs"], credit=side["initialCredit"],
                         boot_epoch=side["bootEpoch"])
        self.says_blocked = False  # it may be said, and the recorded side does not
        self.events: list[dict[str, Any]] = []

    def tell(self, event: str, session: Session, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def act(self, session: Session, step: dict[str, Any]) -> None:
        """What the step says that this side does."""
        if step["does"] == "ping":
            session.send_ping()
        elif step["does"] == "close":
            session.close()
        else:
            tensor = step["tensor"]
            algorithm = DIGESTS[tensor["digest"]]
            description = Open(
                bytes.fromhex(tensor["transferId"]), tensor["bytes"], topic=tensor["topic"],
                dtype=DTYPES[tensor["dtype"]] if "dtype" in tensor else None, shape=tuple(tensor.get("shape", ())),
                digest=None if algorithm == CRC32 else algorithm)
            self.send(Transfer("golden", session.peer_id.hex(), description, pattern(0, tensor["bytes"])))


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


def replay(recorded: dict[str, Any], role: str) -> str | None:
    """Why this side does not fit; None when each of its bytes does, and it got every tensor."""
    player = Player(recorded, role)
    session = Session(role, player)
    written, expected, due = write_all(session), b"", []
    for number, step in enumerate(recorded["steps"]):
        if step.get("side") == role:
            player.act(session, step)
        elif "side" in step:
            if step["does"] == "send":
                due.append(hashlib.sha256(pattern(0, step["tensor"]["bytes"])).hexdigest())
        elif step["from"] == role:
            expected += frame_of(step)
            session.fin_sent = session.fin_sent or session.fin_due and not step["hex"]
        elif step["hex"]:
            session.receive(frame_of(step))
        else:
            session.on_eof()
        written += write_all(session)
        if not written.startswith(expected):
            return f"{role}, step {number} ({step.get('comment')}): {session.why or 'other bytes'}"
    came = [event["sha256"] for event in player.events if event["event"] == "tensor"]
    if written != expected or came != due or not session.fin_sent or session.why != "closed":
        return f"{role}: {len(written)} bytes for {len(expected)}, {len(came)} tensors, {session.why}"
    return None


def session_fault(recorded: dict[str, Any]) -> str | None:
    """Of both sides, the first one."""
    return replay(recorded, "dialler") or replay(recorded, "acceptor")
