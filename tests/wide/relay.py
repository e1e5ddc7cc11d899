"""Carries IP packets between two TUN devices and keeps each for a stated time on its way.

    python relay.py FD_A FD_B DELAY_US

The devices are open already: each stands in a network namespace of its own. The delay is of one
way; both ways have it. Packets keep their order, none is lost. Ends when its input does, so that
it never outlives who started it. Standard library only. (``tc netem`` does the same in kernels
that have it.)
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque

PACKET_BYTES = 65_536
BURST = 256
"""Packets taken from one device before the other is looked at."""


def relay(first: int, second: int, delay_ns: int) -> None:
    """Until standard input ends. Both devices are opened without blocking."""
    other = {first: second, second: first}
    underway: dict[int, deque[tuple[int, bytes]]] = {first: deque(), second: deque()}
    """By device of arrival: when it is due there, and the packet. One delay for all: in order."""
    poll = select.epoll()
    for one in (first, second, 0):
        poll.register(one, select.EPOLLIN)
    while True:
        now = time.monotonic_ns()
        for device, packets in underway.items():
            while packets and packets[0][0] <= now:
                with contextlib.suppress(OSError):  # a full device drops, as a router does
                    os.write(device, packets.popleft()[1])
        due = [packets[0][0] for packets in underway.values() if packets]
        wait_s = max(0, min(due) - now) / 1e9 if due else None
        for ready, _ in poll.poll(wait_s):
            if ready == 0:
                if not os.read(0, 4096):
                    return
                continue
            for _ in range(BURST):
                try:
                    packet = os.read(ready, PACKET_BYTES)
                except BlockingIOError:
                    break
                underway[other[ready]].append((time.monotonic_ns() + delay_ns, packet))


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2]), 1000 * int(sys.argv[3]))
