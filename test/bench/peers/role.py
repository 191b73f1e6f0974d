"""What the comparison programs in Python have in common: the same commands and events as common.ts."""
import json
import os
import queue
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any


def say(event: str, **fields: Any) -> None:
    """Prints one event as a line of JSON."""
    print(json.dumps({"event": event, **fields}), flush=True)


def commands() -> "queue.SimpleQueue[dict[str, Any]]":
    """Commands as they come on stdin. "exit" or the end of stdin ends the process, whatever it is waiting for."""
    found: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command["cmd"] == "exit":
                break
            found.put(command)
        sys.stdout.flush()
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return found


PERIOD_BYTES = 2**20 - 3


def pattern(length: int, number: int) -> bytes:
    """The bytes of fill(memory, number) in ../roles/role.ts."""
    words = array("I")
    word = (number + 1) * 0x9E3779B1 & 0xFFFFFFFF or 1
    for _ in range((min(PERIOD_BYTES, length) + 3) // 4):
        word ^= word << 13 & 0xFFFFFFFF
        word ^= word >> 17
        word ^= word << 5 & 0xFFFFFFFF
        words.append(word)
    period = words.tobytes()[:PERIOD_BYTES]
    return (period * (length // PERIOD_BYTES + 1))[:length]


class Verifier:
    """Compares tensors with what was to come where the command asks for it, in a pass that is not timed."""

    def __init__(self, command: dict[str, Any]) -> None:
        self.wanted, self.number = bool(command.get("verify")), command.get("first", 0)

    def next(self, length: int) -> bytes:
        """What the next tensor has to be."""
        self.number += 1
        return pattern(length, self.number - 1)

    def check(self, memory: bytearray | memoryview) -> None:
        """Of the next tensor; wipes the memory, so that nothing is found there that was not sent."""
        if not self.wanted:
            return
        if memory != self.next(len(memory)):
            say("different")
        memory[:] = bytes(len(memory))


def contents(command: dict[str, Any], kept: Callable[[], bytes]) -> Iterator[bytes]:
    """What to send, tensor by tensor: what is kept, or where the receiver verifies, each with content of its own."""
    for number in range(command["count"]):
        yield pattern(command["tensorBytes"], command["first"] + number) if command.get("verify") else kept()


class Meter:
    """Counts bytes and prints "done"; timed from the end of the first tensor to the end of the last."""

    def __init__(self, tensor_bytes: int, count: int) -> None:
        self.warm, self.total, self.received = tensor_bytes, tensor_bytes * count, 0
        self.start = self.cpu = 0.0

    def add(self, size: int) -> bool:
        """True when all has come; the result has been printed then."""
        before, self.received = self.received, self.received + size
        if before < self.warm <= self.received:
            self.start, self.cpu = time.perf_counter(), time.process_time()
        if self.received < self.total:
            return False
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        say("done", bytes=self.total - self.warm, seconds=time.perf_counter() - self.start,
            cpuSeconds=time.process_time() - self.cpu, rssBytes=pages * os.sysconf("SC_PAGE_SIZE"))
        return True


def measure(count: int, round_trip: Callable[[], object]) -> None:
    """Times round trips after some to warm up, and prints "pings"."""
    times = []
    for i in range(-min(200, count), count):
        start = time.perf_counter()
        round_trip()
        if i >= 0:
            times.append(time.perf_counter() - start)
    times.sort()
    p50, p99 = (round(times[min(count - 1, int(count * share))] * 1e6, 1) for share in (0.5, 0.99))
    say("pings", p50Us=p50, p99Us=p99)
