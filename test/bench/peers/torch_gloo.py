#!/usr/bin/env python3
"""torch.distributed with the gloo backend: two processes, send and recv of a uint8 tensor over loopback TCP.

Its fair best: the receiver's `recv` goes into the same tensor every time, which gloo fills in place, and the sender's
`send` writes straight from the tensor: no copy on either side. One message for each tensor, as gloo is used; there is
no message size to choose (frameBytes is ignored). Torch's own threads do not take part.
"""
import os
import sys

os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # before torch: gloo would take the address of the host's name

import warnings

warnings.filterwarnings("ignore", message=".*NumPy.*")

import torch
import torch.distributed as dist

from role import Meter, Verifier, commands, contents, measure, pattern, say

HOST = "127.0.0.1"


def join(store: dist.TCPStore, rank: int) -> None:
    """Both processes come together; the receiver is rank 0."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=store, rank=rank, world_size=2)


def make(content: bytes) -> torch.Tensor:
    """A tensor of these bytes."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def receive(command: dict[str, int], memory: torch.Tensor) -> None:
    """Receives tensors into `memory`."""
    meter = Meter(memory.numel(), command["count"])
    verifier = Verifier(command)
    for _ in range(command["count"]):
        dist.recv(memory, src=1)
        if verifier.wanted:
            if not torch.equal(memory, make(verifier.next(memory.numel()))):
                say("different")
            memory.zero_()
        meter.add(memory.numel())


def echo() -> None:
    """Sends every message back; the pinging side says first how many of which size there will be."""
    plan = torch.zeros(2, dtype=torch.int64)
    dist.recv(plan, src=1)
    memory = torch.zeros(int(plan[0]), dtype=torch.uint8)
    for _ in range(int(plan[1])):
        dist.recv(memory, src=1)
        dist.send(memory, dst=1)


def receiver() -> None:
    """The role `receive`."""
    store = dist.TCPStore(HOST, 0, world_size=None, is_master=True, wait_for_workers=False)
    say("ready", port=store.port)
    memory = torch.zeros(0, dtype=torch.uint8)
    found = commands()
    while command := found.get():
        if command["cmd"] == "receive" and memory.numel() != command["tensorBytes"]:
            memory = torch.ones(command["tensorBytes"], dtype=torch.uint8)
        say("armed")
        join(store, 0)
        if command["cmd"] == "receive":
            receive(command, memory)
        else:
            echo()


def sender() -> None:
    """The role `send`."""
    say("ready", port=0)
    memory = torch.zeros(0, dtype=torch.uint8)
    store = None
    found = commands()
    while command := found.get():
        store = store or dist.TCPStore(HOST, command["port"], is_master=False)
        join(store, 1)
        if command["cmd"] == "send":
            if memory.numel() != command["tensorBytes"]:
                memory = make(pattern(command["tensorBytes"], 0))
            if command.get("verify"):
                for content in contents(command, lambda: b""):
                    dist.send(make(content), dst=0)
            else:
                for _ in range(command["count"]):
                    dist.send(memory, dst=0)
            say("sent")
            continue
        message = make(pattern(command["bytes"], 0))
        answer = torch.zeros_like(message)
        warm_up = min(200, command["count"])
        dist.send(torch.tensor([command["bytes"], command["count"] + warm_up]), dst=0)
        measure(command["count"], lambda: (dist.send(message, dst=0), dist.recv(answer, src=0)))


if __name__ == "__main__":
    receiver() if sys.argv[1:] == ["receive"] else sender()
