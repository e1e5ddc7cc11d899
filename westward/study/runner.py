"""Runs the cells that are not stored yet: here, in N processes, or on a Ray cluster.

Every finished cell is stored at once, so that an interrupted study goes on where it stopped. The
figures do not depend on who ran which cell.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from westward.study.cells import Cell, CellResult, cell_digest, cells_of, run_cell
from westward.study.model import Study

CELLS = "cells"
"""Folder of the finished cells inside the study's output folder."""

Told = Callable[[int, int, int], None]
"""Called with (cells done, all cells, of which were stored before)."""
Backend = Callable[[Study, Sequence[Cell]], Iterator[tuple[Cell, CellResult]]]


class CellStore:
    """Finished cells as files named by their digest."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, digest: str) -> CellResult | None:
        """None where it is missing or damaged (it is then simply run again)."""
        try:
            found = CellResult.from_json((self.folder / f"{digest}.json").read_text("utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.digest == digest else None

    def put(self, result: CellResult) -> None:
        """Whole or not at all, whatever happens in between."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".cell-", dir=self.folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(result.to_json())
            Path(name).replace(self.folder / f"{result.digest}.json")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def run_study(
    study: Study, store: CellStore, backend: Backend, told: Told | None = None
) -> dict[Cell, CellResult]:
    """Every cell's result. KeyboardInterrupt goes through; what is finished is stored by then."""
    cells = cells_of(study)
    digests = {cell: cell_digest(study, cell) for cell in cells}
    done: dict[Cell, CellResult] = {}
    for cell in cells:
        stored = store.get(digests[cell])
        if stored is not None:
            done[cell] = stored
    before = len(done)
    tell = told or (lambda *_: None)
    tell(before, len(cells), before)
    left = [cell for cell in cells if cell not in done]
    if left:
        for cell, result in backend(study, left):
            if result.digest != digests[cell]:
                raise RuntimeError(
                    f"a worker's sources differ from these (cell {cell}): install the same "
                    "Westward everywhere"
                )
            store.put(result)
            done[cell] = result
            tell(len(done), len(cells), before)
    return {cell: done[cell] for cell in cells}


def in_this_process(study: Study, cells: Sequence[Cell]) -> Iterator[tuple[Cell, CellResult]]:
    for cell in cells:
        yield cell, run_cell(study, cell)


def processes(count: int) -> Backend:
    """Cells in ``count`` fresh processes (one: in this one). They share the compiled kernels'
    cache, so a process is ready after its imports."""
    if count <= 1:
        return in_this_process

    def run(study: Study, cells: Sequence[Cell]) -> Iterator[tuple[Cell, CellResult]]:
        if len(cells) == 1:
            yield from in_this_process(study, cells)
            return
        pool = ProcessPoolExecutor(
            min(count, len(cells)),
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(study,),
        )
        finished = False
        try:
            futures: dict[Future[CellResult], Cell] = {
                pool.submit(_run_here, cell): cell for cell in cells
            }
            waiting = set(futures)
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in sorted(ready, key=lambda f: futures[f]):
                    yield futures[future], future.result()
            finished = True
        finally:
            if not finished:
                # Interrupted or failed: nobody wants the running cells any more.
                for process in list((getattr(pool, "_processes", None) or {}).values()):
                    process.terminate()
            pool.shutdown(wait=finished, cancel_futures=True)

    return run


_study: Study | None = None


def _begin(study: Study) -> None:
    """In a fresh worker. Ctrl-C reaches the whole group: only the parent answers it."""
    global _study
    _study = study
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_here(cell: Cell) -> CellResult:
    if _study is None:
        raise RuntimeError("the worker was not given its study")
    return run_cell(_study, cell)
