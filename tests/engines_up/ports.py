"""Free ports for servers that want theirs told in advance."""

from __future__ import annotations

import random
import socket


def free_block(count: int) -> int:
    """The first of ``count`` neighbouring ports that nobody listens on at any address. Below the
    kernel's own range for outgoing connections, so that they stay free until they are used."""
    bases = list(range(24_000, 32_000 - count, count))
    random.shuffle(bases)  # several suites may look at the same time
    for base in bases:
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise OSError(f"no {count} neighbouring ports are free between 24000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
