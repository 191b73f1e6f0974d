#!/usr/bin/env python3
"""The Python peer of the interop tests (../../interop/v01_peer.py), which behaves as ASoc v0.1 does, moving tensors.

Its own connection, handshake and frames do the work; only what a test wants and a user does not is taken out: the
digests on both sides and the making of random bytes. Its fair best otherwise: frames of 1 MiB, the receiver copies the
parts that asyncio hands it into the one reused tensor, nothing is printed for a tensor. It cannot send and receive
small messages in turn in a way that v0.1 knew, so there is no ping.
"""
import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "interop"))

import v01_peer
from role import Meter, Verifier, commands, contents, pattern, say


class Tensors:
    """Where received bytes go: stands in for the digest of the peer's streams."""

    memory, at, meter, verifier = memoryview(b""), 0, Meter(0, 0), Verifier({})

    @classmethod
    def arm(cls, command: dict[str, Any]) -> None:
        """Makes ready for `count` tensors."""
        if len(cls.memory) != command["tensorBytes"]:
            cls.memory = memoryview(bytearray(b"\1") * command["tensorBytes"])
        cls.meter = Meter(command["tensorBytes"], command["count"])
        cls.verifier = Verifier(command)
        cls.at = 0

    @classmethod
    def update(cls, part: bytes) -> None:
        """The next bytes of the tensor that is being received; tensors come one after another."""
        end = cls.at + len(part)
        cls.memory[cls.at:end] = part
        cls.at = end % len(cls.memory)
        if cls.at == 0:
            cls.verifier.check(cls.memory)
        cls.meter.add(len(part))

    @staticmethod
    def hexdigest() -> str:
        """No digest."""
        return ""


class Stream(v01_peer.Stream):
    """A stream whose bytes go into the tensor."""

    def __init__(self) -> None:
        self.seq, self.size, self.digest = 0, 0, Tensors


class Sending(v01_peer.Connection):
    """A connection that sends the command's tensors from memory."""

    async def send(self, listed: object, key: str) -> None:
        """Sends `count` tensors, as the peer sends its own."""
        command = self.args.command
        size, most = command["tensorBytes"], command["frameBytes"]
        for index, content in enumerate(contents(command, lambda: self.args.memory)):
            memory = memoryview(content)
            chunks = (memory[at:at + most] for at in range(0, size, most))
            for frame in v01_peer.make_stream(2 * index + 1, chunks):
                self.writer.write(frame)
                await self.writer.drain()
        self.args.sent.set()


async def receiver(args: argparse.Namespace, tasks: asyncio.TaskGroup) -> None:
    """The role `receive`."""
    peer = v01_peer.Peer(args, tasks)
    server = await asyncio.start_server(
        lambda *pipes: tasks.create_task(peer.serve(v01_peer.Connection(args, *pipes, "inbound"))) and None,
        args.host, 0, limit=v01_peer.READ_BYTES)
    say("ready", port=server.sockets[0].getsockname()[1])
    found = commands()
    while command := await asyncio.to_thread(found.get):
        Tensors.arm(command)
        say("armed")


async def sender(args: argparse.Namespace, tasks: asyncio.TaskGroup) -> None:
    """The role `send`: one connection for each command."""
    say("ready", port=0)
    args.memory = b""
    found = commands()
    while command := await asyncio.to_thread(found.get):
        if len(args.memory) != command["tensorBytes"]:
            args.memory = pattern(command["tensorBytes"], 0)
        args.command, args.sent = command, asyncio.Event()
        connection = tasks.create_task(v01_peer.Peer(args, tasks).dial(f"{args.host}:{command['port']}"))
        await args.sent.wait()
        connection.cancel()  # all bytes are with the kernel: the peer's drain() waits for that
        say("sent")


async def run(args: argparse.Namespace) -> None:
    """In place of the peer's own run."""
    async with asyncio.TaskGroup() as tasks:
        await (receiver if ROLE == "receive" else sender)(args, tasks)


def report(event: str, **fields: Any) -> None:
    """In place of the peer's events: only what went wrong."""
    if event == "refused":
        print(event, fields, file=sys.stderr, flush=True)


if __name__ == "__main__":
    ROLE = sys.argv[1]
    sys.argv[1:] = ["--api-key", "bench" * 8, "--idle-timeout-s", "3600"]
    v01_peer.emit, v01_peer.run, v01_peer.Stream = report, run, Stream
    if ROLE == "send":
        v01_peer.Connection = Sending
    raise SystemExit(v01_peer.main())
