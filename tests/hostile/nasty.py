"""Values that break careless readers, and ways to put them into a document, one place at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

DEEP = 200
TEXTS: tuple[str, ...] = (
    "", " ", "\0", "a\0b", "\ud800", "x\udfff", "\uffff", "\x1b[31mred\x1b[0m", "a\nb", "a\rb",
    "a\u2028b", "\u202egnp.exe", "../../../etc/passwd", "/etc/passwd", "..", ".", "a/b", "%2e%2e",
    "=1+1", "@SUM(A1)", "'; drop table jobs; --", "{{7*7}}", "${jndi:ldap://x}", "%s%n%d", "NaN",
    "1e999", "-0", "²", "１２", "0x10", "true", "null", "x" * 300, "x" * 5_000, "é" * 2_000,
    "9" * 30, "9" * 5_000, "-" + "9" * 400, "1" * 20 + "d", "9" * 400 + "h", "2026-02-30", "9999-12",
    "0000-00", "99999-01",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400,
    1e308, -1e308, 5e-324, 0.1, float("nan"), float("inf"), -float("inf"),
)  # fmt: skip


def deep_list(depth: int = DEEP) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def deep_mapping(depth: int = DEEP) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(depth):
        made = {"a": made}
    return made


def values() -> list[Any]:
    """Everything that is put in place of a value."""
    others: list[Any] = [
        None, True, False, [], {}, [None], [[]], {"": None}, {"\0": "\ud800"}, ["x"] * 1_000,
        deep_list(), deep_mapping(), {"a": 10**400},
    ]  # fmt: skip
    return [*TEXTS, *NUMBERS, *others]


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON document but the whole."""
    if path:
        yield path
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from places(value, (*path, index))


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of ``document`` with ``value`` there."""
    made = copy.deepcopy(document)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


RAW_BODIES: tuple[bytes, ...] = (
    b"", b" ", b"\0", b"\xff\xfe", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"[" * 100_000,
    b'{"a":' * 50_000, b"[" * 900 + b"]" * 900, b"NaN", b"-", b"1e999", b"9" * 10_000,
    b'"\\ud800"', b'{"a":1,"a":2}', b"{}{}", b"null", b"[]", b'"x"', b"0", b'{"job_id":"\xff"}',
    b"\x1f\x8b\x08\0\0\0\0\0", b"PK\x03\x04", b"a=b&c=d", b"--x\r\n\r\n", b'{"\\u0000":"\\u0000"}',
)  # fmt: skip
"""Bodies that are no document of any kind, or hardly one."""
