"""Circles among names that wait for one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def find_cycle(follows: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names in a circle, each following the next and the last the first; empty if there is none.

    ``follows[a]`` lists what a waits for; names that are no key are outside and wait for nothing.
    """
    done: set[str] = set()
    for root in follows:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, int]] = [(root, 0)]
        while stack:
            name, turn = stack.pop()
            if turn == 0:
                if name in on_path:
                    return tuple(path[path.index(name) :])
                if name in done:
                    continue
                path.append(name)
                on_path.add(name)
            following = follows.get(name, ())
            if turn < len(following):
                stack.append((name, turn + 1))
                stack.append((following[turn], 0))
            else:
                done.add(name)
                on_path.discard(name)
                path.pop()
    return ()
