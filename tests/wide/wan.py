"""Sites in network namespaces of their own, joined to a hub by lines with a delay.

A namespace here has no name: it lives as long as a process in it or a file that holds it, so
nothing has to be taken away afterwards, not even after a kill. The hub is a namespace too: the
machine's own network is not touched. Needs root, ``ip`` and /dev/net/tun.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x4000_0000
TUNSETIFF = 0x4004_54CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
OWN_NETWORK = "/proc/thread-self/ns/net"
RELAY = Path(__file__).with_name("relay.py")
HUB = "10.77.0.1"
"""The hub's address, seen from every site."""

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)} (root is needed)")


class Network:
    """A network namespace, with its loopback up."""

    fd: int

    @classmethod
    def of_caller(cls) -> Network:
        """The one that the calling thread is in."""
        made = cls.__new__(cls)
        made.fd = os.open(OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
        return made

    def __init__(self) -> None:
        before = os.open(OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc.unshare(CLONE_NEWNET), "a new network namespace")
            self.fd = os.open(OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
            ip("link", "set", "lo", "up")
        finally:
            _checked(_libc.setns(before, CLONE_NEWNET), "back to the network before")
            os.close(before)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread, and what it starts, is in this network."""
        before = os.open(OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
        _checked(_libc.setns(self.fd, CLONE_NEWNET), "entering a network namespace")
        try:
            yield
        finally:
            _checked(_libc.setns(before, CLONE_NEWNET), "back to the network before")
            os.close(before)

    def close(self) -> None:
        os.close(self.fd)


@dataclass
class Line:
    """A line between the hub and one site. ``delay_ms``: one way."""

    delay_ms: int
    relay: subprocess.Popen[bytes]

    def close(self) -> None:
        assert self.relay.stdin is not None
        self.relay.stdin.close()
        self.relay.wait()


def line(hub: Network, site: Network, number: int, delay_ms: int) -> Line:
    """``number`` tells this line's addresses from those of the hub's others (1 to 250)."""
    here, there = f"10.77.{number}.1", f"10.77.{number}.2"
    ends = []
    with hub.entered():
        ends.append(_device(f"line{number}", here))
    with site.entered():
        ends.append(_device("line", there))
        ip("route", "add", "default", "via", here)
    relay = subprocess.Popen(
        [sys.executable, "-I", str(RELAY), *map(str, ends), str(1000 * delay_ms)],
        stdin=subprocess.PIPE,
        pass_fds=ends,
    )
    for end in ends:
        os.close(end)
    return Line(delay_ms, relay)


def hub() -> Network:
    made = Network()
    with made.entered():
        ip("addr", "add", f"{HUB}/32", "dev", "lo")
    return made


def round_trip_ms(address: str, port: int, tries: int = 9) -> float:
    """Median time to connect, which takes one round trip."""
    took = []
    for _ in range(tries):
        begun = time.perf_counter()
        with socket.create_connection((address, port), 10):
            took.append(1000 * (time.perf_counter() - begun))
    return statistics.median(took)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _device(name: str, address: str) -> int:
    """A TUN device in the calling thread's network, up."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    ip("addr", "add", f"{address}/30", "dev", name)
    ip("link", "set", name, "mtu", "1400", "up")
    return device
