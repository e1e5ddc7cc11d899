"""The local engine's sandbox: what a job sees of the machine, as bubblewrap's arguments.

Off unless the site's operator says ``sandbox=bubblewrap``. A job then has process and network
namespaces of its own, no way to more rights, and sees the machine's files read-only, without the
agent's state, other jobs and people's homes; it writes to its own folders alone. What this does not
hold off: docs/security.md.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from westward.model.wire import Grant

OPTIONS = ("sandbox", "sandbox_network", "sandbox_hide", "sandbox_show")
HOMES = ("/root", "/home", "/tmp", "/var/tmp", "/run", "/var/run")
"""Where people and programs keep what is theirs: empty for jobs."""
DEVICES = ("/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/accel*", "/dev/davinci*")
"""For jobs that hold accelerators; which of them a job may use is its environment's matter."""
SHM_LEAST_BYTES = 64 * 2**20
FROM_THE_START = ("work", "home", "output", "tmp")
"""The folders of a run that its job may write."""
# A shell ends at its first TERM, and bubblewrap with it; what the shell started may still be saving.
# So once a signal has come this waits, until the supervisor's KILL, for all else in the sandbox.
INIT = (
    "s=; trap 's=1' TERM INT HUP QUIT USR1 USR2; bash \"$1\" & p=$!; "
    "while wait $p; c=$?; kill -0 $p 2>/dev/null; do :; done; "
    'while [ "$s" ]; do b=; for d in /proc/[0-9]*; do '
    'case ${d#/proc/} in 1|$$) ;; *) read -r _ _ t _ <"$d/stat" && [ "$t" != Z ] && b=1 ;; esac; '
    'done 2>/dev/null; [ "$b" ] || break; sleep 0.1; done; exit $c'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """``program``: bubblewrap's path. ``hide`` and ``show``: folders beside the usual ones."""

    program: str
    network: Literal["none", "host"] = "none"
    hide: tuple[str, ...] = ()
    show: tuple[str, ...] = ()

    def hidden(self, state: Path) -> list[str]:
        """What no job sees, unless ``shown``; the agent's state last."""
        places = sorted({*HOMES, *self.hide}, key=lambda one: (one.count("/"), one))
        return [*(one for one in places if os.path.isdir(one)), str(state)]

    def shown(self) -> list[str]:
        """Read-only, though they may lie in what is hidden: Python, and what the operator names."""
        python = {sys.prefix, sys.base_prefix} - {"/", "/usr", "/usr/local"}
        return [*sorted(os.path.realpath(one) for one in python), *self.show]

    def command(self, grant: Grant, folder: Path, state: Path) -> list[str]:
        """To be put before ``bash SCRIPT``. ``folder`` is the run's, ``state`` the agent's."""
        links = [one for one in self.hidden(state) if os.path.islink(one)]
        made = [
            self.program, "--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc",
            "--unshare-uts", "--unshare-cgroup-try", "--disable-userns", "--ro-bind", "/", "/",
            "--proc", "/proc", "--dev", "/dev",
        ]  # fmt: skip
        if self.network == "none":
            made += ["--unshare-net"]
        shm = max(SHM_LEAST_BYTES, grant.memory_per_node_mib << 20)
        made += ["--size", str(shm), "--perms", "1777", "--tmpfs", "/dev/shm"]
        if grant.accelerator is not None:
            for form in DEVICES:
                for device in sorted(glob.glob(form)):
                    made += ["--dev-bind-try", device, device]
        for place in self.hidden(state)[:-1]:
            if place not in links:
                made += ["--size", str(2**20), "--tmpfs", place]
        for place in self.shown():
            made += ["--ro-bind-try", place, place]
        for place in ("/tmp", "/var/tmp"):
            made += ["--bind", str(folder / "tmp"), place]
        made += ["--size", str(2**20), "--tmpfs", str(state)]
        for name in FROM_THE_START:
            made += ["--bind", str(folder / name), str(folder / name)]
        for name in ("setup.sh", "run.sh"):
            made += ["--ro-bind", str(folder / name), str(folder / name)]
        for one in grant.inputs:
            files = str(state / "data" / one.digest / "files")
            made += ["--ro-bind-try", files, files]
        if grant.checkpoint is not None:
            files = str(state / "checkpoints" / grant.job_id / "files")
            made += ["--bind", files, files]
        made += ["--remount-ro", str(state), "--chdir", str(folder / "work")]
        return [*made, "--", "bash", "-c", INIT, "westward"]


def sandbox_of(options: Mapping[str, str]) -> Sandbox | None:
    """By the engine's options; None: there is to be none. ValueError says what is wrong with them,
    or why there can be no sandbox here: a site that asks for one never runs jobs without."""
    kind = options.get("sandbox", "none")
    if kind not in ("none", "bubblewrap"):
        raise ValueError(f"engine option sandbox: {kind!r} is neither none nor bubblewrap")
    if kind == "none":
        if set(options) & set(OPTIONS[1:]):
            raise ValueError("engine options sandbox_...: they go with sandbox=bubblewrap")
        return None
    network = options.get("sandbox_network", "none")
    if network not in ("none", "host"):
        raise ValueError(f"engine option sandbox_network: {network!r} is neither none nor host")
    places = {}
    for name in ("sandbox_hide", "sandbox_show"):
        places[name] = tuple(one for one in options.get(name, "").split(":") if one)
        for one in places[name]:
            if not os.path.isabs(one) or os.path.normpath(one) != one or one == "/":
                raise ValueError(f"engine option {name}: {one!r} is not the full path of a folder")
    program = shutil.which("bwrap")
    if program is None:
        raise ValueError("engine option sandbox: there is no bwrap here: install bubblewrap")
    made = Sandbox(
        program=program,
        network=cast(Literal["none", "host"], network),
        hide=places["sandbox_hide"],
        show=places["sandbox_show"],
    )
    tried = subprocess.run(
        [
            program, "--unshare-user", "--unshare-pid", "--unshare-net", "--disable-userns",
            "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "true",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )  # fmt: skip
    if tried.returncode != 0:
        raise ValueError(f"engine option sandbox: bwrap does not work here: {tried.stderr.strip()}")
    return made
