"""What the comparison programs in Python have in common: the same commands and events as common.ts."""
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
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


def pattern(length: int) -> bytes:
    """The bytes of fill(memory, 0) in ../roles/role.ts; they repeat after 1 MiB."""
    period = b"".join(bytes((i * 31 + block) & 255 for i in range(256)) * 16 for block in range(256))
    return (period * (length // len(period) + 1))[:length]


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
