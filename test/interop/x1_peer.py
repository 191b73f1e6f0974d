#!/usr/bin/env python3
"""An independent peer of the extension x1 for interop tests, written from RFC-0001, 0004, 0005, 0006 and 0100 alone.

It prints one JSON object a line, and takes commands as JSON lines on stdin, each with `cmd`:
  send { id, to, bytes, seed, dtype, shape, topic, metadata, digest, priority, unknownTotal, chunkBytes,
         wrongDigest, resetAt, loseAck, cutAt, cutAfterAck, transferId, base, asks, late,
         available }
                                    one tensor of pseudo-random bytes; prints sent or sendFailed
  grant { streamId, bytes }         CREDIT of so much more
  stop { streamId, code }           STOP
  cutInbound { bytes, atEnd }       cuts the connection that has brought so many bytes, or a tensor, before its ACK
  lie { offset }                    what RESUME! says from now on
  cut   ping   say { streamId, hex }   on all sessions: the end, PING, a CONTROL payload as it is
  dial { address }
  close                             GOAWAY on all sessions; ends when they have ended
"""
import argparse
import asyncio
import contextlib
import json
import random
import secrets
import sys
import threading
import time
import uuid
from typing import Any

import x1_golden
from x1_fields import Fault
from x1_node import Node, emit
from x1_open import DTYPES, Open
from x1_outbound import Transfer
from x1_records import CRC32, NO_DIGEST, SHA256, Verbatim
from x1_session import Session
from x1_wire import MIB, make_node_id

READ_BYTES, TICK_S, LAST_WORDS_S, DIGESTS = MIB, 0.25, 1, {"none": NO_DIGEST, "crc32": CRC32, "sha256": SHA256}


class Connection:
    """A session and its socket."""
    def __init__(self, node: Node, role: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session, self.reader, self.writer = Session(role, node), reader, writer
        self.wake = asyncio.Event()
        self.written = self.heard = time.monotonic()
        writer.transport.set_write_buffer_limits(0)  # drain() then waits until the kernel has all bytes

    async def run(self, keepalive_s: float, handshake_s: float = 10) -> None:
        """From the first byte to the last."""
        loop, session = asyncio.get_running_loop(), self.session
        timer = loop.call_later(handshake_s, self.give_up)
        parts = [asyncio.create_task(part) for part in (self.read(), self.write(), self.keep(keepalive_s))]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            timer.cancel()
            session.end("lost")
            self.writer.transport.abort() if session.aborted else self.writer.close()

    def give_up(self) -> None:
        """The time for the handshake is over."""
        if self.session.state in ("first", "caps", "proof"):
            self.session.abort("handshake: timeout")
            self.wake.set()

    async def read(self) -> None:
        """Until FIN, the end of the session, or a loss."""
        session = self.session
        try:
            while data := await self.reader.read(READ_BYTES):
                self.heard = time.monotonic()
                session.receive(data)
                self.wake.set()
                if session.aborted:
                    return
            session.on_eof()
            self.wake.set()
            while session.fin_due and not session.fin_sent and not session.aborted:
                await asyncio.sleep(0)  # write() has yet to send FIN
        except OSError as error:
            session.end(f"lost: {error}")

    async def write(self) -> None:
        """Whatever the session has to say, as the kernel takes it."""
        session = self.session
        try:
            while not session.aborted:
                if data := session.transmit():
                    self.writer.write(data)
                    await self.writer.drain()
                    self.written = time.monotonic()
                elif session.fin_due and not session.fin_sent:
                    session.fin_sent = True
                    self.writer.write_eof()
                    if session.failed:  # what comes is thrown away until the other side has read ERROR
                        await asyncio.sleep(LAST_WORDS_S)
                        return
                else:
                    self.wake.clear()
                    await self.wake.wait()
        except OSError as error:
            session.end(f"lost: {error}")

    async def keep(self, keepalive_s: float) -> None:
        """PING after silence of either side, and the end when nothing follows for 30 s."""
        due = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            now, session = time.monotonic(), self.session
            if session.open and not session.ping and now - min(self.written, self.heard) >= keepalive_s:
                session.send_ping()
                self.wake.set()
                due = now
            if session.ping and now - max(due, self.heard, self.written) >= 30:
                return session.abort("lost: no sign for 30 s")


class Peer:
    """Accepts, dials, and does what stdin says."""
    def __init__(self, args: argparse.Namespace, tasks: asyncio.TaskGroup) -> None:
        self.args, self.tasks, self.closing = args, tasks, False
        self.connections: set[Connection] = set()
        self.stopped = asyncio.Event()
        self.node = Node(args.api_key, args.community, args.node_id, secrets.token_bytes,
                         lambda: int(time.time() * 1000), max_streams=args.max_streams, max_frame=args.max_frame,
                         credit=args.credit, step=None if args.step < 0 else args.step)
        self.node.on_broken = self.expire

    def expire(self, transfer: Transfer) -> None:
        """A transfer that broke is given up when it has not gone on after the resume time."""
        seen = transfer.streams, transfer.acked

        def over() -> None:
            if transfer.state in ("broken", "asked") and seen == (transfer.streams, transfer.acked):
                self.node.settle(transfer)
                why = "outcome unknown" if transfer.ends else "connection lost"
                emit("sendFailed", id=transfer.name, code=None, why=why)
        asyncio.get_running_loop().call_later(self.args.resume_s, over)

    async def serve(self, role: str, *pipes: Any) -> None:
        """One connection."""
        connection = Connection(self.node, role, *pipes)
        self.connections.add(connection)
        try:
            await connection.run(self.args.keepalive_s)
        finally:
            self.connections.discard(connection)
            if self.closing and not self.connections:
                self.stopped.set()

    async def dial(self, address: str) -> None:
        """Dials an address again and again, or once where redialling is off."""
        host, _, port = address.rpartition(":")
        while not self.closing:
            try:
                await self.serve("dialler", *await asyncio.open_connection(host, int(port), limit=READ_BYTES))
            except OSError as error:
                emit("refused", why=f"dial {address}: {error}")
            if self.args.redial_ms < 0:
                return
            await asyncio.sleep(self.args.redial_ms / 1000)

    def on_command(self, command: dict[str, Any]) -> None:
        """One line of stdin."""
        name, sessions = command["cmd"], list(self.node.sessions)
        if name == "send":
            self.node.send(make_transfer(command))
        elif name in ("grant", "stop"):
            for session in sessions:
                if session.inbound and (stream := session.inbound.streams.get(command["streamId"])):
                    if name == "grant":
                        session.inbound.raise_limit(stream, stream.limit + command["bytes"])
                    else:
                        session.inbound.stop(stream, command["code"], "the consumer wants no more")
        elif name == "cutInbound":
            self.node.cut_inbound, self.node.cut_at_end = command.get("bytes", 0), command.get("atEnd", False)
            emit("armed")
        elif name == "lie":
            self.node.lie = command["offset"]
            emit("armed")
        elif name == "dial":
            self.tasks.create_task(self.dial(command["address"]))
        elif name in ("cut", "ping", "say"):
            for session in sessions:
                if name == "say":
                    session.say(command["streamId"], Verbatim(bytes.fromhex(command["hex"])))
                else:
                    session.send_ping() if name == "ping" else session.abort("cut")
        elif name == "close":
            self.closing = True
            for session in sessions:
                session.close()
            if not self.connections:
                self.stopped.set()
        else:
            raise ValueError(f"unknown command {name!r}")
        for connection in self.connections:
            connection.wake.set()


def make_transfer(command: dict[str, Any]) -> Transfer:
    """What `send` asks for."""
    get = command.get
    data = random.Random(get("seed", 1)).randbytes(get("bytes", 0))
    digest = DIGESTS[get("digest", "crc32")]
    metadata = json.dumps(command["metadata"]) if "metadata" in command else None
    description = Open(
        bytes.fromhex(get("transferId", "")) or secrets.token_bytes(8), None if get("unknownTotal") else len(data),
        dtype=DTYPES[command["dtype"]] if "dtype" in command else None, shape=tuple(get("shape", ())),
        priority=get("priority", 128), topic=get("topic", ""), user_metadata=metadata,
        digest=None if digest == CRC32 else digest)
    return Transfer(str(get("id")), command["to"], description, data, get("chunkBytes", MIB),
                    get("wrongDigest", False), get("cutAt", 0), get("cutAfterAck", 0), get("resetAt", -1),
                    get("loseAck", False), get("base", 0), get("asks", True), get("late", False), get("available"))


async def run(args: argparse.Namespace) -> None:
    """Runs a peer until `close`, or the end of stdin."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        peer = Peer(args, tasks)
        server = await asyncio.start_server(
            lambda *pipes: tasks.create_task(peer.serve("acceptor", *pipes)) and None, args.host, args.port,
            limit=READ_BYTES)

        def read_stdin() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(peer.on_command, json.loads(line))
            loop.call_soon_threadsafe(peer.stopped.set)
        threading.Thread(daemon=True, target=read_stdin).start()
        emit("ready", nodeId=args.node_id.hex(), port=server.sockets[0].getsockname()[1])
        for address in filter(None, args.peers.split(",")):
            tasks.create_task(peer.dial(address))
        await peer.stopped.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    emit("stopped")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag, default, text in (
        ("--community", "", "name of the cluster"), ("--host", "127.0.0.1", "where to listen"),
        ("--port", 0, "0: any"), ("--peers", "", "HOST:PORT, separated by commas"),
        ("--credit", 256 << 10, "initial credit of a stream"), ("--max-streams", 4096, "streams at once"),
        ("--max-frame", 16 * MIB, "largest payload"),
        ("--step", -1, "CREDIT of so many bytes whenever a stream stands at its limit; 0: by command; -1: all at once"),
        ("--redial-ms", 100, "rest before an address is dialled again; -1: never"), ("--resume-s", 120.0, "of a break"),
        ("--keepalive-s", 12.0, "silence before PING"), ("--vectors", "", "check this file of golden vectors, and end"),
    ):
        parser.add_argument(flag, type=type(default), default=default, help=text)
    parser.add_argument("--api-key", type=str.encode, default=b"")
    parser.add_argument("--node-id", type=lambda text: uuid.UUID(text).bytes, metavar="HEX",
                        default=make_node_id(secrets.token_bytes(16)))
    args = parser.parse_args()
    if args.vectors:
        return x1_golden.check(args.vectors)
    with contextlib.suppress(asyncio.CancelledError, Fault):
        asyncio.run(run(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
