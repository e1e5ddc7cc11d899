"""What an agent says of a run's end, as the server takes it."""

from __future__ import annotations

TOLD_MOST_CHARS = 1_000
"""Half of it from each end. The server refuses longer ones than 4,096, and with them the end."""
_GAP = " … "


def told(text: str) -> str:
    """``text`` without half characters and NUL (names of files may hold the first, errors about
    them do then), its middle left out where it is long: such errors name whole paths."""
    whole = text.encode(errors="replace").decode().replace("\0", "?")
    if len(whole) <= TOLD_MOST_CHARS:
        return whole
    half = (TOLD_MOST_CHARS - len(_GAP)) // 2
    return whole[:half] + _GAP + whole[-half:]
