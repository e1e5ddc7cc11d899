"""The terms ``westward.inputs`` and ``westward.outputs``: data by place, data sets by name."""

from __future__ import annotations

from pathlib import PurePosixPath

from westward.formats.listed import NAME, known_form, parts
from westward.model.job import DataInput, DataOutput, InputData
from westward.model.units import parse_bytes

DATASET = "dataset:"
"""Before the name of a data set in ``westward.inputs``, which sites may share a name with."""
DATASET_NAME = NAME
SETS_MOST = 100
"""Data sets that one job reads, and that it makes."""


def parse_inputs(text: str) -> tuple[tuple[InputData, ...], tuple[DataInput, ...]]:
    """``qingyang=10GB,dataset:corpus@2=data/corpus``: bytes by the site where they lie; data sets
    (of a version, or the newest) and the folder where the job finds them. Raises ValueError."""
    placed: list[InputData] = []
    sets: list[DataInput] = []
    for part in parts(text):
        left, equals, right = part.partition("=")
        if left.strip().startswith(DATASET):
            sets.append(_data_input(part, left, equals, right))
            continue
        if not equals:
            raise ValueError(f"{part!r} is not SITE=SIZE or dataset:NAME=FOLDER")
        site = known_form(left, "a site")
        if site in [data.site for data in placed]:
            raise ValueError(f"the site {site!r} stands twice")
        size_bytes = parse_bytes(right)
        if size_bytes <= 0:
            raise ValueError(f"{part!r} names no data")
        placed.append(InputData(site=site, size_bytes=size_bytes))
    _check_apart([PurePosixPath(one.target) for one in sets], "target")
    if len(sets) > SETS_MOST:
        raise ValueError(f"{len(sets)} data sets; a job reads at most {SETS_MOST}")
    return tuple(placed), tuple(sets)


def _data_input(part: str, left: str, equals: str, right: str) -> DataInput:
    name, at, version = left.strip().removeprefix(DATASET).partition("@")
    if not equals:
        raise ValueError(f"{part!r} does not say in which folder the job finds it: {part}=data")
    if at and not (version.isdecimal() and 0 < int(version) < 2**31):
        raise ValueError(f"{version!r} is not a version; write {DATASET}{name}@1, or no @")
    return DataInput(
        dataset=known_form(name, "a data set"),
        version=int(version) if at else 0,
        target=_folder(right),
    )


def parse_outputs(text: str) -> tuple[DataOutput, ...]:
    """``model=weights,.=everything``: a path below $WESTWARD_OUTPUT and the data set it becomes a
    version of. Raises ValueError."""
    found: list[DataOutput] = []
    for part in parts(text):
        path, equals, name = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} is not PATH=NAME")
        pure = PurePosixPath(path.strip())
        if pure.is_absolute() or ".." in pure.parts or not path.strip():
            raise ValueError(f"{path.strip()!r} does not lie below $WESTWARD_OUTPUT")
        dataset = known_form(name.strip().removeprefix(DATASET), "a data set")
        if dataset in [one.dataset for one in found]:
            raise ValueError(f"the data set {dataset!r} stands twice")
        found.append(DataOutput(path=str(pure), dataset=dataset))
    if len(found) > SETS_MOST:
        raise ValueError(f"{len(found)} data sets; a job makes at most {SETS_MOST}")
    return tuple(found)


def _folder(text: str) -> str:
    inside = text.strip().removeprefix("~/")
    pure = PurePosixPath(inside)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or pure.parts[0].startswith("~"):
        raise ValueError(f"the folder {text.strip()!r} does not lie below the work folder or ~/")
    return f"~/{pure}" if text.strip().startswith("~/") else str(pure)


def _check_apart(targets: list[PurePosixPath], what: str) -> None:
    for at, one in enumerate(targets):
        for other in targets[:at]:
            if one == other or one in other.parents or other in one.parents:
                raise ValueError(f"the {what} {str(one)!r} and {str(other)!r} lie in each other")
