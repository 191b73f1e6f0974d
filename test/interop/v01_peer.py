#!/usr/bin/env python3
"""An independent ASoc peer for interop tests, written from the specification.

It speaks wire v1 only and behaves as the v0.1 reference does, shortcomings included: it ignores CONTROL, sends no
pings, closes a connection on which nothing arrives, dials static peers again although connected, and loses the
newer entry of a peer when an older connection closes. It prints one JSON object per line.
"""
import argparse
import asyncio
import contextlib
import hashlib
import hmac
import json
import random
import secrets
import signal
import socket
import struct
import threading
import time
import uuid
from collections.abc import Container, Iterable, Iterator
from typing import Any

DATA, END, HELLO, ACCEPT = 1, 2, 4, 5
HEADER = struct.Struct(">BBIII")  # version, type, stream id, seq, payload length
BEACON = struct.Struct(">8s16sHII")  # community, uuid, TCP port, unix seconds, challenge; the signature follows
HELLO_SIZE, ACCEPT_SIZE, READ_BYTES, HANDSHAKE_S, BEACON_S, CLOCK_S = 36, 16, 1 << 20, 10, 3, 60


def emit(event: str, **fields: Any) -> None:
    """Prints one event as a line of JSON."""
    print(json.dumps({"event": event, **fields}), flush=True)


def make_frame(kind: int, stream_id: int, seq: int, payload: bytes = b"") -> bytes:
    """Header and payload of one frame."""
    return HEADER.pack(1, kind, stream_id, seq, len(payload)) + payload


def make_stream(stream_id: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The frames of one tensor."""
    count = 0
    for count, chunk in enumerate(chunks, 1):
        yield make_frame(DATA, stream_id, count - 1, chunk)
    yield make_frame(END, stream_id, count)


def seal(key: bytes, message: bytes, size: int) -> bytes:
    """The message and the first `size` bytes of its HMAC."""
    return message + hmac.digest(key, message, "sha256")[:size]


def make_hello(key: bytes, node_id: bytes, challenge: bytes) -> bytes:
    """The payload of HELLO."""
    return node_id + seal(key, node_id + challenge, 16)[20:] + challenge


def is_authentic(key: bytes, payload: bytes) -> bool:
    """Whether a payload is a HELLO or an ACCEPT with a good signature."""
    expected = make_hello(key, payload[:16], payload[32:]) if len(payload) == HELLO_SIZE else seal(key, payload[:8], 8)
    return hmac.compare_digest(payload, expected)


def make_beacon(key: bytes, community: str, *fields: Any) -> bytes:
    """A discovery beacon; the fields are uuid, port, unix seconds and challenge."""
    return seal(key, BEACON.pack(hashlib.sha256(community.encode()).digest()[:8], *fields), 16)


def parse_beacon(key: bytes, community: str, message: bytes) -> tuple[Any, ...] | str:
    """The fields of a beacon, or why it is refused."""
    if len(message) != BEACON.size + 16:
        return f"{len(message)} bytes"
    fields = BEACON.unpack_from(message)[1:]
    expected = make_beacon(key, community, *fields)
    if message[:8] != expected[:8]:
        return "other community"
    return fields if hmac.compare_digest(message, expected) else "bad signature"


class Stream:
    """One tensor on its way in; only its size and digest are kept."""
    def __init__(self) -> None:
        self.seq, self.size, self.digest = 0, 0, hashlib.sha256()


def take(streams: dict[int, Stream | None], kind: int, stream_id: int, seq: int) -> Stream | None:
    """The open stream of a DATA or END frame, None to skip the frame: after a gap all are, until the stream's END."""
    stream = streams.pop(stream_id, Stream())
    if stream and stream.seq != seq:
        emit("refused", why=f"stream {stream_id}: expected seq {stream.seq}, got {seq}")
        stream = None
    if kind == DATA:
        streams[stream_id] = stream
    if stream:
        stream.seq += 1
    return stream


class Connection:
    """One TCP connection: reads and writes frames."""
    def __init__(self, args: argparse.Namespace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 direction: str) -> None:
        self.args, self.reader, self.writer, self.direction = args, reader, writer, direction
        self.streams: dict[int, Stream | None] = {}
        self.heard, self.began = time.monotonic(), float("inf")  # the last bytes, and the frame that is being read
        writer.transport.set_write_buffer_limits(0)  # drain() then waits until the kernel has all bytes

    async def first_frame(self, kind: int, size: int) -> bytes:
        """The payload of the handshake's frame; any other header closes."""
        if await self.reader.readexactly(HEADER.size) != HEADER.pack(1, kind, 0, 0, size):
            raise ConnectionError("unexpected first header")
        payload = await self.reader.readexactly(size)
        if not is_authentic(self.args.api_key, payload):
            raise ConnectionError("bad signature")
        return payload

    async def read_frames(self) -> None:
        """Reads until something raises. CONTROL, a late HELLO or ACCEPT, and unknown types are skipped unbuffered."""
        while True:
            version, kind, stream_id, seq, left = HEADER.unpack(await self.reader.readexactly(HEADER.size))
            self.heard = self.began = time.monotonic()
            is_stream = kind in (DATA, END)
            if version != 1 or left > self.args.max_payload or is_stream and stream_id == 0 or kind == END and left:
                raise ConnectionError(f"bad header: version {version}, type {kind}, stream {stream_id}, {left} bytes")
            stream = take(self.streams, kind, stream_id, seq) if is_stream else None
            while left:
                if not (part := await self.reader.read(min(left, READ_BYTES))):
                    raise EOFError
                self.heard, left = time.monotonic(), left - len(part)
                if stream:
                    stream.size += len(part)
                    stream.digest.update(part)
            self.began = float("inf")
            if stream and kind == END:
                emit("tensor", direction=self.direction, streamId=stream_id, bytes=stream.size,
                     sha256=stream.digest.hexdigest())

    async def watch(self) -> None:
        """Raises when nothing arrives, when a frame takes too long, and when a send makes no progress."""
        waiting, moved = 0, 0.0
        while True:
            now, before, waiting = time.monotonic(), waiting, self.writer.transport.get_write_buffer_size()
            moved = moved if waiting and waiting == before else now
            for why, since, limit in (("idle", self.heard, self.args.idle_timeout_s),
                                      ("frame timeout", self.began, self.args.frame_timeout_s),
                                      ("send without progress", moved, self.args.stall_timeout_s)):
                if now - since >= limit:
                    raise ConnectionError(why)
            await asyncio.sleep(0.05)

    async def send(self, listed: Container[str], key: str) -> None:
        """Sends the tensors of pseudo-random bytes that the command line asks for, while the peer is listed."""
        size, most, count = self.args.send_bytes, self.args.chunk_bytes, self.args.send_count
        for stream_id in range(1, 2 * count, 2) if self.args.send_on in (self.direction, "both") and size >= 0 else ():
            if key not in listed:
                return emit("refused", why=f"send: {key} is not listed")
            digest, chunks = hashlib.sha256(), (random.randbytes(min(most, size - at)) for at in range(0, size, most))
            for frame in make_stream(stream_id, chunks):
                digest.update(memoryview(frame)[HEADER.size:])
                self.writer.write(frame)
                await self.writer.drain()
            emit("sent", streamId=stream_id, bytes=size, sha256=digest.hexdigest())


class Peer:
    """The node: accepts, dials, discovers, and lists the peers that it may send to."""
    def __init__(self, args: argparse.Namespace, tasks: asyncio.TaskGroup) -> None:
        self.args, self.tasks = args, tasks
        self.listed: dict[str, Connection] = {}
        self.seen: set[tuple[bytes, bytes]] = set()  # (uuid, challenge) of HELLOs, our own included
        self.beacons: dict[tuple[bytes, int], float] = {}  # (uuid, challenge) to when it first came
        self.discovered: set[bytes | None] = set()  # uuids dialled after a beacon, until that connection ends

    async def handshake(self, conn: Connection) -> bytes | None:
        """Authenticates a new connection; an inbound one tells its uuid."""
        if conn.direction == "outbound":
            self.seen.add(pair := (self.args.node_id, secrets.token_bytes(4)))
            conn.writer.write(make_frame(HELLO, 0, 0, make_hello(self.args.api_key, *pair)))
            await conn.first_frame(ACCEPT, ACCEPT_SIZE)
            return None
        hello = await conn.first_frame(HELLO, HELLO_SIZE)
        if (pair := (hello[:16], hello[32:])) in self.seen:
            raise ConnectionError("repeated HELLO")  # a replay, or a connection to itself
        self.seen.add(pair)
        conn.writer.write(make_frame(ACCEPT, 0, 0, seal(self.args.api_key, secrets.token_bytes(8), 8)))
        return pair[0]

    async def serve(self, conn: Connection, address: str = "", node_id: bytes | None = None) -> None:
        """One connection from its handshake to its end; without an address, it is an inbound one."""
        address = address or "%s:%s" % (conn.writer.get_extra_info("peername") or ("?", 0))[:2]
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                node_id = await self.handshake(conn) or node_id
        except (OSError, EOFError) as error:
            conn.writer.transport.abort()
            return emit("refused", why=f"{conn.direction} handshake with {address}: {str(error) or 'timeout'}")
        opened = conn.heard = time.monotonic()
        why, name = "shutdown", node_id.hex() if node_id else None
        self.listed[key := f"{conn.direction} {name or address}"] = conn
        emit("peer", direction=conn.direction, nodeId=name, address=address, listed=len(self.listed))
        try:
            async with asyncio.TaskGroup() as parts:
                for part in (conn.read_frames(), conn.watch(), conn.send(self.listed, key)):
                    parts.create_task(part)
        except* EOFError:
            why = "eof"
        except* OSError as errors:
            why = str(errors.exceptions[0])
        finally:
            conn.writer.transport.abort()
            self.listed.pop(key, None)  # as v0.1 does, even when the entry is a newer connection's
            for stream_id in (each for each, stream in conn.streams.items() if stream):
                emit("refused", why=f"stream {stream_id}: incomplete")
            emit("closed", direction=conn.direction, why=why, seconds=round(time.monotonic() - opened, 3),
                 listed=len(self.listed))

    async def dial(self, address: str, node_id: bytes | None = None) -> None:
        """Connects to an address and stays until that connection has closed."""
        host, _, port = address.rpartition(":")
        source = (self.args.host, 0) if host.startswith("127.") and self.args.host.startswith("127.") else None
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                pipes = await asyncio.open_connection(host, int(port), limit=READ_BYTES, local_addr=source)
            await self.serve(Connection(self.args, *pipes, "outbound"), address, node_id)
        except OSError as error:  # TimeoutError is one
            emit("refused", why=f"dial {address}: {str(error) or 'timeout'}")
        finally:
            self.discovered.discard(node_id)

    async def redial(self) -> None:
        """Dials the static peers again and again, connected or not."""
        while True:
            for address in self.args.peers:
                self.tasks.create_task(self.dial(address))
            await asyncio.sleep(self.args.redial_s)

    async def discover(self, tcp_port: int) -> None:
        """Sends beacons, and takes those of others."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for option in (socket.SO_REUSEADDR, socket.SO_BROADCAST):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind(("0.0.0.0", self.args.discovery_port))
        asyncio.get_running_loop().add_reader(sock, lambda: self.on_beacon(*sock.recvfrom(1024)))
        while True:
            fields = self.args.node_id, tcp_port, int(time.time()), secrets.randbits(32)
            with contextlib.suppress(OSError):  # as when the network is gone
                sock.sendto(make_beacon(self.args.api_key, self.args.community, *fields),
                            (self.args.broadcast, self.args.discovery_port))
            await asyncio.sleep(BEACON_S)

    def on_beacon(self, message: bytes, source: tuple[str, int]) -> None:
        """Checks a beacon and dials its sender unless that is connected or being dialled."""
        if isinstance(found := parse_beacon(self.args.api_key, self.args.community, message), str):
            return emit("refused", why=f"beacon: {found}")
        node_id, port, seconds, challenge = found
        now, off, address = time.monotonic(), seconds - int(time.time()), f"{source[0]}:{port}"
        age = now - self.beacons.setdefault((node_id, challenge), now)
        if node_id == self.args.node_id or 0 < age < 1:
            return  # our own, or a duplicate that came by a second route
        if age or abs(off) > CLOCK_S:
            return emit("refused", why="beacon: repeated challenge" if age else f"beacon: clock {off} s off")
        emit("beacon", nodeId=node_id.hex(), address=address)
        if node_id not in self.discovered:
            self.discovered.add(node_id)
            self.tasks.create_task(self.dial(address, node_id))


async def run(args: argparse.Namespace) -> None:
    """Runs a peer until SIGTERM, SIGINT or, when asked for, the end of stdin."""
    loop, stop = asyncio.get_running_loop(), asyncio.current_task().cancel
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if args.exit_with_stdin:  # read by a thread, because stdin may be a file
        threading.Thread(daemon=True, target=lambda: (
            open(0, "rb", closefd=False).read(), loop.call_soon_threadsafe(stop))).start()
    async with asyncio.TaskGroup() as tasks:
        peer = Peer(args, tasks)
        server = await asyncio.start_server(
            lambda *pipes: tasks.create_task(peer.serve(Connection(args, *pipes, "inbound"))) and None,
            args.host, args.port, limit=READ_BYTES)
        emit("ready", nodeId=args.node_id.hex(), port=(port := server.sockets[0].getsockname()[1]))
        tasks.create_task(peer.redial())
        if args.discovery_port:
            tasks.create_task(peer.discover(port))
        await server.serve_forever()


def selftest(path: str) -> int:
    """Checks the codec against a file of vectors; a section that has no check fails."""
    def vector(raw: dict[str, Any]) -> argparse.Namespace:  # with keys and hex strings as bytes
        texts = {name: value.encode() if name == "apiKey" else bytes.fromhex(value) for name, value in raw.items()
                 if isinstance(value, str) and name not in ("community", "why", "source")}
        return argparse.Namespace(**{**raw, **texts})

    def stream(v: argparse.Namespace) -> bool:
        chunks, streams = (v.tensor[at:at + v.chunkSize] for at in range(0, len(v.tensor), v.chunkSize)), {}
        frames = list(make_stream(v.streamId, chunks))
        taken = {take(streams, *HEADER.unpack_from(frame)[1:4]) for frame in frames}
        return b"".join(frames) == v.wire and len(taken) == 1 and None not in taken and not streams

    checks = {
        "frames": lambda v: make_frame(v.type, v.streamId, v.seq, v.payload) == v.frame
        and HEADER.unpack_from(v.frame) == (1, v.type, v.streamId, v.seq, len(v.payload)),
        "headersOnly": lambda v: HEADER.unpack(v.header) == (1, v.type, v.streamId, v.seq, v.length),
        "hello": lambda v: make_hello(v.apiKey, v.nodeId, v.challenge.to_bytes(4, "big")) == v.payload
        and make_frame(HELLO, 0, 0, v.payload) == v.frame and is_authentic(v.apiKey, v.payload),
        "helloRejected": lambda v: not is_authentic(v.apiKey, v.payload),
        "accept": lambda v: make_frame(ACCEPT, 0, 0, seal(v.apiKey, v.token, 8)) == v.frame
        and v.frame.endswith(v.payload) and is_authentic(v.apiKey, v.payload),
        "acceptRejected": lambda v: not is_authentic(v.apiKey, v.payload),
        "discovery": lambda v: parse_beacon(v.apiKey, v.community, v.message)
        == (v.nodeId, v.port, v.timestamp, v.challenge) and v.communityHash == v.message[:8],
        "discoveryRejected": lambda v: isinstance(parse_beacon(v.apiKey, v.community, v.message), str),
        "streams": stream,
    }
    with open(path, encoding="utf-8") as file:
        sections = vars(json.load(file, object_hook=vector))
    good = [name in checks and checks[name](case) for name in sections if name != "source" for case in sections[name]]
    emit("selftest", passed=sum(good), failed=good.count(False))
    return 0 if good and all(good) else 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, default in {
        "--community": "", "--host": "127.0.0.1", "--port": 0, "--discovery-port": 0, "--broadcast": "127.255.255.255",
        "--idle-timeout-s": 30.0, "--frame-timeout-s": 30.0, "--stall-timeout-s": 10.0, "--redial-s": 10.0,
        "--send-bytes": -1, "--send-count": 1, "--chunk-bytes": 1 << 20, "--max-payload": 16 << 20, "--vectors": "",
    }.items():
        parser.add_argument(flag, type=type(default), default=default, help=f"default {default!r}")
    parser.add_argument("--api-key", type=str.encode, default=b"")
    parser.add_argument("--node-id", type=lambda text: uuid.UUID(text).bytes, default=uuid.uuid4().bytes, metavar="HEX")
    parser.add_argument("--peers", type=lambda text: list(filter(None, text.split(","))), default=[], metavar="LIST")
    parser.add_argument("--send-on", choices=("inbound", "outbound", "both"), default="both")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when stdin ends")
    parser.add_argument("--selftest", action="store_true", help="check the codec against the file --vectors")
    args = parser.parse_args()
    if args.selftest:
        return selftest(args.vectors)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
