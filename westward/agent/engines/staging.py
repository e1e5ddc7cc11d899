"""Bring a job's own files into its run folder before it starts. Standard library only."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SITES_OWN = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
)
"""Errors that are the site's trouble. Others, met while files are copied, come of what the job
names: a file that may not be read, a name that is too long."""
COPY_LIMIT_BYTES = 2**30
"""All of a run's copied files together. Larger inputs belong in ``inputs`` or a MOUNT."""


class StagingFailed(Exception):
    """A file could not be brought to the run; the text is for the job's owner."""


class StagingStopped(Exception):
    """The run was told to stop while its files were being copied."""


def stage(
    *,
    workdir: str | None,
    mounts: Sequence[Mapping[str, Any]],
    work: str,
    home: str,
    stopped: Callable[[], bool],
    hidden: Sequence[str] = (),
    shown: Sequence[str] = (),
) -> None:
    """Copy ``workdir`` into ``work`` and each mount to its target. Local paths only.

    Relative targets lie in ``work``, ``~/…`` in ``home``. Nothing is copied from below ``hidden``
    (the last of it: not even if it lies below ``shown``), for this reads with the agent's rights.
    Raises StagingFailed, StagingStopped.
    """
    budget = [COPY_LIMIT_BYTES]
    if workdir is not None:
        source = _local(workdir, "workdir")
        _check_not_hidden(source, "workdir", hidden, shown)
        if not os.path.isdir(source):
            raise StagingFailed(f"workdir {workdir}: no such folder at this site")
        _copy(source, work, budget, stopped)
    for mount in mounts:
        if mount.get("mode") != "MOUNT":  # a mount is a link, and leads where the job may look
            named = f"file_mounts {mount['target']}"
            _check_not_hidden(_local(str(mount["source"]), named), named, hidden, shown)
        _mount(mount, work, home, budget, stopped)


def _check_not_hidden(source: str, named: str, hidden: Sequence[str], shown: Sequence[str]) -> None:
    leads = os.path.realpath(source)
    for index, place in enumerate(hidden):
        own = index + 1 == len(hidden)
        if not own and any(_lies_in(leads, os.path.realpath(one)) for one in shown):
            continue
        place = os.path.realpath(place)
        if _lies_in(leads, place) or _lies_in(place, leads):
            raise StagingFailed(f"{named}: this site does not let jobs see {source}")


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _mount(
    mount: Mapping[str, Any], work: str, home: str, budget: list[int], stopped: Callable[[], bool]
) -> None:
    source = _local(str(mount["source"]), f"file_mounts {mount['target']}")
    target = _target(str(mount["target"]), work, home)
    if not os.path.exists(source):
        raise StagingFailed(f"file_mounts {mount['target']}: {source} does not exist at this site")
    if os.path.lexists(target) and not os.path.isdir(target):
        raise StagingFailed(f"file_mounts {mount['target']}: something is there already")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if mount.get("mode") == "MOUNT":
        if os.path.lexists(target):
            raise StagingFailed(f"file_mounts {mount['target']}: something is there already")
        os.symlink(source, target)
    else:
        _copy(source, target, budget, stopped)


def _local(path: str, what: str) -> str:
    if path.startswith("file://"):
        path = path[len("file://") :]
    if "://" in path:
        raise StagingFailed(f"{what}: {path} cannot be fetched; the local engine takes local paths")
    path = os.path.expanduser(path)
    if not os.path.isabs(path):
        raise StagingFailed(f"{what}: {path} is relative; the site needs an absolute path")
    return path


def _target(target: str, work: str, home: str) -> str:
    base, rest = (home, target[2:]) if target.startswith("~/") else (work, target)
    path = os.path.normpath(os.path.join(base, rest))
    if os.path.isabs(rest) or not path.startswith(base + os.sep):
        raise StagingFailed(
            f"file_mounts {target}: the local engine mounts below the working folder or ~/ only"
        )
    return path


def _copy(source: str, target: str, budget: list[int], stopped: Callable[[], bool]) -> None:
    if not os.path.isdir(source):
        _copy_file(source, target, budget, stopped)
        return
    os.makedirs(target, exist_ok=True)
    for folder, folders, files in os.walk(source):
        folders.sort()
        below = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(below, exist_ok=True)
        for name in sorted(files):
            _copy_file(os.path.join(folder, name), os.path.join(below, name), budget, stopped)
        for name in folders:
            link = os.path.join(folder, name)
            if os.path.islink(link):
                os.symlink(os.readlink(link), os.path.join(below, name))


def _copy_file(source: str, target: str, budget: list[int], stopped: Callable[[], bool]) -> None:
    if stopped():
        raise StagingStopped
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if not os.path.isfile(source):
        return  # sockets and pipes carry nothing over
    budget[0] -= os.path.getsize(source)
    if budget[0] < 0:
        raise StagingFailed(f"{source}: more than {COPY_LIMIT_BYTES >> 20} MiB to copy; use MOUNT")
    try:
        shutil.copy2(source, target)
    except OSError as error:
        raise StagingFailed(f"{source}: cannot be copied: {error.strerror}") from error
