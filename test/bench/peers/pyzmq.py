#!/usr/bin/env python3
"""pyzmq (libzmq with its own I/O thread), DEALER to DEALER over TCP.

Its fair best: tensors as messages of 1 MiB that are sent with copy=False, straight from the tensor; the receiver's
`recv_into` has pyzmq copy each message to its place in the one reused tensor (a frame with copy=False and a copy of
one's own is no faster). One 64 MiB message would need no copy, but libzmq then takes 64 MiB of fresh memory for every
tensor, which costs more: about half the speed. The queues hold 32 messages on each side; the sender's is longer for
small tensors.
"""
import struct
import sys

import zmq

from role import Meter, Verifier, commands, contents, measure, pattern, say

QUEUE_BYTES = 32 << 20


def receive(socket: zmq.Socket, command: dict[str, int], memory: bytearray) -> None:
    """Receives tensors."""
    meter = Meter(len(memory), command["count"])
    verifier = Verifier(command)
    view = memoryview(memory)
    at, done = 0, False
    while not done:
        size = socket.recv_into(view[at:])
        at += size
        if at == len(memory):
            at = 0
            verifier.check(memory)
        done = meter.add(size)


def echo(socket: zmq.Socket) -> None:
    """Sends every message back; the pinging side says first how many there will be."""
    (count,) = struct.unpack("<Q", socket.recv())
    for _ in range(count):
        socket.send(socket.recv())


def receiver(context: zmq.Context) -> None:
    """The role `receive`."""
    socket = context.socket(zmq.DEALER)
    socket.set_hwm(32)
    say("ready", port=socket.bind_to_random_port("tcp://127.0.0.1"))
    memory = bytearray()
    found = commands()
    while command := found.get():
        if command["cmd"] == "receive" and len(memory) != command["tensorBytes"]:
            memory = bytearray(b"\1") * command["tensorBytes"]
        say("armed")
        if command["cmd"] == "receive":
            receive(socket, command, memory)
        else:
            echo(socket)


def sender(context: zmq.Context) -> None:
    """The role `send`."""
    say("ready", port=0)
    memory = b""
    sockets: dict[tuple[int, int], zmq.Socket] = {}
    found = commands()
    while command := found.get():
        size = command.get("tensorBytes", command.get("bytes"))
        most = min(size, command.get("frameBytes", size))
        key = command["port"], min(1000, max(2, QUEUE_BYTES // most))
        if key not in sockets:
            for other in sockets.values():
                other.close(10_000)
            socket = context.socket(zmq.DEALER)
            socket.set_hwm(key[1])
            socket.connect(f"tcp://127.0.0.1:{command['port']}")
            sockets = {key: socket}
        socket = sockets[key]
        if len(memory) != size:
            memory = pattern(size, 0)
        if command["cmd"] == "send":
            for content in contents(command, lambda: memory):
                for at in range(0, size, most):
                    socket.send(memoryview(content)[at:at + most], copy=False)
            say("sent")
            continue
        socket.send(struct.pack("<Q", command["count"] + min(200, command["count"])))
        measure(command["count"], lambda: (socket.send(memory), socket.recv()))


if __name__ == "__main__":
    with zmq.Context() as shared:
        receiver(shared) if sys.argv[1:] == ["receive"] else sender(shared)
