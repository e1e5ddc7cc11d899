"""For site agents: where to read data sets from, what was moved and staged, what was published.

Every request carries the run's fencing token and is safe to repeat. No data passes through the
server.
"""

from __future__ import annotations

from fastapi import APIRouter

from westward.control.machine import Ignored
from westward.control.story import printable
from westward.model.dataset import file_problems
from westward.model.wire import (
    Ack,
    DataAsk,
    DataMoved,
    DataPublished,
    DataSource,
    DataStaged,
)
from westward.server.api_data import url_problem
from westward.server.api_jobs import CoreDep
from westward.server.data_sources import give_source
from westward.server.errors import ApiError
from westward.server.limits import check_message
from westward.store.data_runs import note_staged, publish, record_move

router = APIRouter(prefix="/v1/agent", tags=["agents"])


@router.post("/runs/{run_id}/data/source")
async def source(run_id: str, message: DataAsk, core: CoreDep) -> DataSource:
    """Checks the data set's terms against the run's site, writes the proof down, and names the
    copy to read. An empty ``site``: there is none, for the ``reason``."""
    check_message(message)
    told = DataAsk(
        token=message.token,
        dataset=message.dataset,
        version=message.version,
        refused=message.refused,
        suspect=message.suspect,
        problem=printable(message.problem),
    )
    answer = await core.write(
        give_source, core.store, core.network, run_id, told, core.clock.now_ms()
    )
    if isinstance(answer, Ignored):
        raise ApiError(410, "run-over", answer.reason)
    return answer


@router.post("/runs/{run_id}/data/moved")
async def moved(run_id: str, message: DataMoved, core: CoreDep) -> Ack:
    check_message(message)
    numbers = (message.sequence, message.size_bytes, message.wall_ms)
    if min(numbers) < 0:
        raise ApiError(422, "malformed-request", "a negative number")
    if all(site.name != message.source_site for site in core.network.sites):
        raise ApiError(422, "malformed-request", f"there is no site {message.source_site!r}")
    ignored = await core.write(record_move, core.store, run_id, message, core.clock.now_ms())
    return _ack(ignored)


@router.post("/runs/{run_id}/data/staged")
async def staged(run_id: str, message: DataStaged, core: CoreDep) -> Ack:
    check_message(message)
    ignored = await core.write(note_staged, core.store, run_id, message, core.clock.now_ms())
    return _ack(ignored)


@router.post("/runs/{run_id}/data/published")
async def published(run_id: str, message: DataPublished, core: CoreDep) -> Ack:
    """What the run left is a version of a data set now."""
    check_message(message)
    problems = [f"{path}: {text}" for path, text in file_problems(message.files)]
    problem = url_problem(message.url)
    if problem is not None:
        problems.append(problem)
    if problems:
        raise ApiError(422, "malformed-request", "; ".join(problems[:5]))
    made = await core.write(publish, core.store, run_id, message, core.clock.now_ms())
    if isinstance(made, Ignored):
        return _ack(made)
    core.queue_changed()
    return Ack(accepted=True)


def _ack(ignored: Ignored | None) -> Ack:
    if ignored is None or ignored.code == "repeat":
        return Ack(accepted=True)
    return Ack(accepted=False, reason=f"{ignored.code}: {ignored.reason}")
