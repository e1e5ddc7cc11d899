"""An SWF log's columns as they stand in the file, for papers that read logs their own way.

``westward.formats.traces`` drops and moves what a rehearsal should not see; a reproduced table
must see what its authors saw. Units stay the log's: seconds, processors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from westward.formats.traces.source import Cells, open_source, split_columns, text_lines
from westward.formats.traces.swf import FIELDS

I64 = npt.NDArray[np.int64]


def read_columns(path: Path, *names: str) -> dict[str, I64]:
    """The named fields (``westward.formats.traces.swf.FIELDS``), (rows,), in file order."""
    source = open_source(path)
    rows = text_lines(source).filter(~pl.col("text").str.starts_with(";"))
    parts = pl.col("text").str.strip_chars().str.replace_all(r"[ \t]+", " ").str.split(" ")
    cells = Cells(split_columns(source, rows, FIELDS, exact=False, parts=parts))
    columns = {name: cells.numbers(name, minimum=-np.inf, maximum=np.inf) for name in names}
    cells.log.raise_if_any()
    return {name: column.astype(np.int64) for name, column in columns.items()}
