"""gzip and tar, told by their content, not by the file's name."""

from __future__ import annotations

import io
import tarfile
import zlib

_GZIP_MAGIC = b"\x1f\x8b"
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257
_GZIP_WINDOW = 31
"""zlib's code for: expect gzip's header and check its sum."""
RATIO_MOST = 200
"""Logs shrink by 3 to 40; gzip alone can reach 1,000. What shrank more than this is no log."""
MEMBERS_MOST = 2_000
FREELY_BYTES = 64 * 2**20
"""Unpacked without a look at the ratio."""
STEP_BYTES = 16 * 2**20
_AGAIN = "Fetch the file again."


class Damaged(Exception):
    """Cannot be unpacked: what is wrong, and what to do."""

    def __init__(self, problem: str, remedy: str = _AGAIN) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def unpack(stored: bytes, suffix: str, limit: int) -> bytes:
    """The text inside ``stored``; at most ``limit`` bytes. Raises Damaged.

    Of a tar archive the only file is taken (what macOS adds beside a file, ``._name``, is none).
    """
    if stored.startswith(_GZIP_MAGIC):
        data = _gunzip(stored, limit)
    elif suffix == ".gz" and stored:
        raise Damaged("the file ends in .gz but is not gzip", "Rename it, or fetch it again.")
    else:
        data = stored
    if len(data) > limit:
        raise Damaged(f"the trace is larger than {limit} bytes", "Split it.")
    if data[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        return _untar(data)
    return data


def _gunzip(stored: bytes, limit: int) -> bytes:
    """All members of a gzip file; zeros after the last are padding."""
    parts: list[bytes] = []
    size = members = 0
    rest = stored
    while rest:
        if not rest.startswith(_GZIP_MAGIC):
            raise Damaged("the gzip file is damaged")
        members += 1
        if members > MEMBERS_MOST:
            raise Damaged(
                f"the gzip file has more than {MEMBERS_MOST} members", "Unpack it by hand."
            )
        member = zlib.decompressobj(wbits=_GZIP_WINDOW)
        while not member.eof and size <= limit:
            try:
                part = member.decompress(rest, min(STEP_BYTES, limit + 1 - size))
            except zlib.error as error:
                raise Damaged("the gzip file is damaged") from error
            rest = member.unconsumed_tail
            parts.append(part)
            size += len(part)
            read = len(stored) - len(rest) - len(member.unused_data)
            if size > max(FREELY_BYTES, RATIO_MOST * read):
                raise Damaged(
                    f"the gzip file unpacks to more than {RATIO_MOST} times its size",
                    "Unpack it by hand if that is meant.",
                )
            if not part and not rest and not member.eof:
                raise Damaged("the gzip file ends too early")
        if size > limit:
            break
        rest = member.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _untar(data: bytes) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            files = [
                member
                for member in archive.getmembers()
                if member.isfile() and not member.name.rpartition("/")[2].startswith("._")
            ]
            if len(files) != 1:
                names = ", ".join(member.name for member in files)[:80] or "none"
                raise Damaged(
                    f"the tar archive holds {len(files)} files ({names})",
                    "Unpack it and give one of its files.",
                )
            if files[0].size > len(data):  # a sparse file stands for more than is there
                raise Damaged("the tar archive holds a file larger than itself", "Unpack it.")
            found = archive.extractfile(files[0])
            assert found is not None  # it is a file
            return found.read()
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise Damaged("the tar archive is damaged") from error
