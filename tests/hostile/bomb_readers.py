"""What ``test_bombs`` calls in a process with little memory: one reader by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests" / "broken" / "_small-network"


def read(reader: str, path: Path) -> int:
    """0: answered, or refused as promised. Whatever else is raised stays raised."""
    from pydantic import ValidationError

    from westward.model.faults import InputFaults

    try:
        _READERS[reader](path)
    except InputFaults as error:
        print(str(error)[:300])
    except ValidationError as error:
        print(str(error)[:300])
    return 0


def _job(path: Path) -> None:
    from westward.formats.skypilot import read_task_file

    read_task_file(path, job_id="job_1", now_ms=0)


def _jobs(path: Path) -> None:
    from westward.formats.task_set import read_tasks_file

    read_tasks_file(path, job_id="job_1", now_ms=0)


def _tes(path: Path) -> None:
    from westward.formats.tes import read_tes
    from westward.formats.tes_model import read_document

    try:
        body = json.loads(path.read_bytes())
    except (ValueError, RecursionError):  # as the route does
        return
    read_tes(read_document(body), job_id="job_1", now_ms=0, host_images=(), word="w")


def _message(path: Path) -> None:
    from pydantic import TypeAdapter

    from westward.model.wire import Poll

    TypeAdapter(Poll).validate_json(path.read_bytes())


def _sbatch(path: Path) -> None:
    from westward.formats.sbatch import read_sbatch
    from westward.formats.sbatch_reader import Choices

    read_sbatch(path.read_text(), file="job.sh", choices=Choices(workdir=None))


def _voucher(path: Path) -> None:
    from westward.network.voucher_files import read_voucher_folder

    _put(path, ROOT / "networks" / "east-west" / "vouchers", "sources.yaml", read_voucher_folder)


def _network(path: Path) -> None:
    from westward.network.loader import load_network

    _put(path, SMALL, "sites.csv", load_network)


def _manifest(path: Path) -> None:
    from westward.network.loader import load_network

    _put(path, SMALL, "network.yaml", load_network)


def _study(path: Path) -> None:
    from westward.study.reader import read_study

    read_study(path, quick=True, environment={})


def _site(path: Path) -> None:
    from westward.agent.site_file import read_site_file

    read_site_file(path.read_text(), "lab")


def _trace(path: Path) -> None:
    from westward.formats.traces import describe_file, read_workload
    from westward.model.faults import InputFaults

    try:
        describe_file(path)
    except InputFaults as error:
        print(str(error)[:300])
    read_workload(path, "swf")


def _put(path: Path, source: Path, name: str, load: Callable[[Path], object]) -> None:
    folder = path.with_name("folder")
    shutil.copytree(source, folder)
    shutil.copy(path, folder / name)
    load(folder)


_READERS: dict[str, Callable[[Path], None]] = {
    "job": _job, "jobs": _jobs, "tes": _tes, "message": _message, "sbatch": _sbatch,
    "voucher": _voucher, "network": _network, "manifest": _manifest, "study": _study,
    "site": _site, "trace": _trace,
}  # fmt: skip
