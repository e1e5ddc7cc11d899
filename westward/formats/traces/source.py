"""Recorded workloads as text columns: opening, splitting, checking. Shared by all trace readers.

Readers never build an object per job: a log of a quarter million rows is read in about a
second. Every cell stays text until a ``Cells`` method turns a whole column into numbers and
reports each cell that is not one.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from westward.formats.traces.unpack import Damaged, unpack
from westward.model.faults import Fault, InputFaults
from westward.model.workload import DroppedRows

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_TRACE_BYTES = 4 << 30
"""Text of one trace, after unpacking."""
MAX_FAULTS_SHOWN = 20
"""Faulty cells listed one by one; the rest is counted."""
MAX_TIME_S = 1e11
"""About 3,000 years: a larger time is a wrong unit, and would not fit into milliseconds."""
MAX_COUNT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Source:
    """A trace's bytes, unpacked, and where they came from. ``digest`` is of the bytes as stored."""

    file: str
    name: str
    digest: str
    data: bytes

    @property
    def text(self) -> str:
        """Decoded anew each time: the fast readers never need it."""
        return self.data.decode("utf-8", errors="replace")

    def first_line(self) -> str:
        """The first line that is not blank, without its end."""
        start = 0
        while True:
            end = self.data.find(b"\n", start)
            line = self.data[start:] if end < 0 else self.data[start:end]
            if end < 0 or line.strip():
                return line.decode("utf-8", errors="replace").strip("\r\n")
            start = end + 1

    def refuse(self, row: int | None, field: str, problem: str, remedy: str) -> InputFaults:
        return InputFaults([self.fault(row, field, problem, remedy)])

    def fault(self, row: int | None, field: str, problem: str, remedy: str) -> Fault:
        return Fault(self.file, row, field, problem, remedy)


class NoJobList(InputFaults):
    """The file is in order, but no job list can be read from it (as asked): it is a series, a
    list of nodes, or lacks a figure that the caller must state. ``table`` is what it does hold,
    ``lines`` what else a description should show."""

    def __init__(self, faults: Sequence[Fault], table: Table, lines: Sequence[str] = ()) -> None:
        super().__init__(faults)
        self.table = table
        self.lines = tuple(lines)


def open_source(path: Path) -> Source:
    """Read the file whole, unpacking gzip and tar by their content. Raises InputFaults."""
    file = str(path)

    def refuse(problem: str, remedy: str) -> InputFaults:
        return InputFaults([Fault(file, None, "", problem, remedy)])

    try:
        stored = path.read_bytes()
    except OSError as error:
        raise refuse(
            f"the trace cannot be read: {error.strerror or error}", "Give the path of a file."
        ) from error
    digest = hashlib.sha256(stored).hexdigest()
    try:
        data = unpack(stored, path.suffix, MAX_TRACE_BYTES)
    except Damaged as damage:
        raise refuse(damage.problem, damage.remedy) from damage
    if b"\0" in data:
        raise refuse("the file is not text", "Give the trace itself, as text or gzip.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data or data.isspace():
        raise refuse("the file is empty", "Give a trace with at least one job.")
    name = path.name
    for suffix in (".gz", ".tar", ".csv", ".swf", ".trace"):
        name = name.removesuffix(suffix)
    return Source(file, name, digest, data)


_ROW = "Correct the row or remove it."


class FaultLog:
    """Faults of one trace: the first ones in full, the rest as a count."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._faults: list[Fault] = []
        self._more = 0
        self._last_row = 0

    def add(self, row: int | None, field: str, problem: str, remedy: str = _ROW) -> None:
        self._last_row = max(self._last_row, row or 0)
        if len(self._faults) < MAX_FAULTS_SHOWN:
            self._faults.append(Fault(self._source.file, row, field, problem, remedy))
        else:
            self._more += 1

    def raise_if_any(self, also: Sequence[Fault] = ()) -> None:
        """Raises InputFaults with what was logged; then ``also`` is told with it."""
        if not self._faults:
            return
        if self._more:
            problem = f"{self._more} more faults of these kinds are not listed"
            remedy = "Correct the listed ones and read the file again."
            # At the last faulty row, so that it stands below those it refers to.
            self._faults.append(Fault(self._source.file, self._last_row, "", problem, remedy))
        raise InputFaults([*self._faults, *also])


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text cells with each row's line in the file (from 1), and what was wrong so far."""

    cells: dict[str, pl.Series]
    lines: I64
    log: FaultLog

    def __len__(self) -> int:
        return len(self.lines)


def text_lines(source: Source) -> pl.DataFrame:
    """Columns ``line`` (from 1) and ``text`` (stripped), blank lines left out."""
    frame = pl.DataFrame({"text": source.text.split("\n")}).with_row_index("line", offset=1)
    return frame.with_columns(
        pl.col("line").cast(pl.Int64), pl.col("text").str.strip_chars()
    ).filter(pl.col("text") != "")


def split_columns(
    source: Source, rows: pl.DataFrame, names: Sequence[str], *, exact: bool, parts: pl.Expr
) -> Table:
    """Split ``rows.text`` by ``parts``. Rows with a wrong number of columns are logged and left
    out, so that the cells of the others are still checked; the reader raises them all at once."""
    split = rows.select("line", parts.alias("parts"))
    found = split["parts"].list.len()
    wrong = (found != len(names)) if exact else (found < len(names))
    log = FaultLog(source)
    if wrong.any():
        wanted = f"{len(names)} columns" if exact else f"at least {len(names)} columns"
        bad = split.filter(wrong).with_columns(count=pl.col("parts").list.len())
        for line, count in bad.select("line", "count").iter_rows():
            log.add(line, "", f"the row has {count} columns; {wanted} are needed")
        split = split.filter(~wrong)
        if split.is_empty():
            log.raise_if_any()
    cells = {
        name: split["parts"].list.get(index).str.strip_chars() for index, name in enumerate(names)
    }
    return Table(cells, split["line"].to_numpy(), log)


def header_of(source: Source, separator: str = ",") -> tuple[str, ...]:
    """The names on the first line that is not blank."""
    return tuple(name.strip() for name in source.first_line().split(separator))


def read_csv(source: Source, names: Sequence[str]) -> Table:
    """A comma-separated table whose header must be exactly ``names``."""
    header = header_of(source)
    if header != tuple(names):
        line = int(text_lines(source)["line"][0])
        missing = [name for name in names if name not in header]
        extra = [name for name in header if name not in names]
        problem = f"the header lacks {', '.join(missing)}" if missing else "the header differs"
        if extra:
            problem += f" and has {', '.join(extra)[:80]}"
        remedy = f"The header of this format is {','.join(names)}"
        raise source.refuse(line, "", problem, remedy + ".")
    plain = _read_plain_csv(source, names)
    if plain is not None:
        return plain
    rows = text_lines(source).slice(1)
    if rows.is_empty():
        raise source.refuse(None, "", "the table has no rows", "Give at least one job.")
    if rows["text"].str.contains('"', literal=True).any():
        quoted = pl.Series("parts", list(csv.reader(rows["text"].to_list())))
        return split_columns(
            source, rows.with_columns(quoted), names, exact=True, parts=pl.col("parts")
        )
    return split_columns(source, rows, names, exact=True, parts=pl.col("text").str.split(","))


def _read_plain_csv(source: Source, names: Sequence[str]) -> Table | None:
    """The same table, some five times faster, for a file without a blank line, a quote, a CR or a
    wrong number of columns; None for every other file, which the caller reads line by line."""
    data = source.data
    body = data.removesuffix(b"\n")
    rows = body.count(b"\n")
    first = data.find(b"\n")
    if (
        rows == 0
        or b'"' in data
        or b"\r" in data
        or body.endswith(b"\n")
        or not _all_lines_have(body, len(names) - 1)
        or data.startswith((b"\n", b" ", b"\t"))
    ):
        return None
    try:
        frame = pl.read_csv(
            body[first + 1 :],
            has_header=False,
            new_columns=list(names),
            schema=dict.fromkeys(names, pl.String),
            quote_char=None,
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError:
        return None
    if len(frame) != rows:
        return None
    cells = {name: frame[name].fill_null("").str.strip_chars() for name in names}
    return Table(cells, np.arange(2, rows + 2, dtype=np.int64), FaultLog(source))


def _all_lines_have(body: bytes, commas: int) -> bool:
    """Counted here: polars takes a last row that ends in one comma too many."""
    octets = np.frombuffer(body, np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(octets == ord("\n")) + 1))
    counts = np.add.reduceat(octets == ord(","), starts, dtype=np.int64)
    return bool((counts == commas).all())


class Cells:
    """Turns a table's columns into numbers, gathering a fault for each cell that is wrong."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.log = table.log

    def numbers(
        self,
        field: str,
        *,
        minimum: float,
        maximum: float = MAX_TIME_S,
        whole: bool = False,
        optional: bool = False,
    ) -> F64:
        """The column as floats; NaN only where an ``optional`` cell is empty."""
        text = self.table.cells[field]
        values = text.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        empty = (text == "").to_numpy()
        finite = np.isfinite(values)
        wrong = ~finite & ~empty if optional else ~finite
        low = finite & (values < minimum)
        high = finite & (values > maximum)
        broken = finite & (values != np.floor(values)) if whole else np.zeros(len(text), np.bool_)
        if not (wrong | low | high | broken).any():
            return values
        # A fault each, in the order of the file, until the log has enough.
        for index in np.flatnonzero(wrong | low | high | broken):
            cell = str(text[int(index)])[:40]
            if wrong[index]:
                problem = f"{cell!r} is not a number" if cell else "the cell is empty"
            elif low[index]:
                problem = f"{cell} is below {minimum:g}"
            elif high[index]:
                problem = f"{cell} is above {maximum:g}"
            else:
                problem = f"{cell} is not a whole number"
            self.log.add(int(self.table.lines[index]), field, problem)
        return values

    def times(self, field: str, form: str, *, optional: bool = False) -> F64:
        """Dates such as ``%Y-%m-%d %H:%M:%S`` as seconds since 1970, on the clock they were
        written by; NaN only where an ``optional`` cell is empty."""
        text = self.table.cells[field]
        found = text.str.to_datetime(form, strict=False, time_unit="us")
        values = found.dt.timestamp("us").cast(pl.Float64).fill_null(np.nan).to_numpy() / 1e6
        wrong = np.isnan(values)
        if optional:
            wrong &= (text != "").to_numpy()
        for index in np.flatnonzero(wrong):
            cell = str(text[int(index)])[:40]
            problem = f"{cell!r} is not a date and time" if cell else "the cell is empty"
            self.log.add(int(self.table.lines[index]), field, problem)
        return values

    def filled(self, field: str) -> pl.Series:
        """The column as text, none of it empty."""
        text = self.table.cells[field]
        self.check((text == "").to_numpy(), field, "the cell is empty")
        return text

    def check(self, wrong: Mask, field: str, problem: str, remedy: str = _ROW) -> None:
        """Report every row where ``wrong`` holds."""
        for index in np.flatnonzero(wrong):
            self.log.add(int(self.table.lines[index]), field, problem, remedy)


class Drops:
    """Rows that are well written but are no jobs; the first reason found counts."""

    def __init__(self, lines: I64) -> None:
        self._lines = lines
        self.keep: Mask = np.ones(len(lines), dtype=np.bool_)
        self.dropped: list[DroppedRows] = []

    def drop(self, where: Mask, reason: str) -> None:
        hit = where & self.keep
        if hit.any():
            first = int(self._lines[int(np.flatnonzero(hit)[0])])
            self.dropped.append(DroppedRows(reason=reason, rows=int(hit.sum()), first_row=first))
            self.keep &= ~where
