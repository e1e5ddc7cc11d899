"""Linux process plumbing for the supervisor: start, find, measure and kill process trees.

Standard library only: the supervisor imports this under ``python -I -S``, and only modules that
load fast, since every run's start waits for it. All functions are
synchronous and meant for a process with a single thread (``spawn`` forks).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

TYPE_CHECKING = False  # as typing's, without the milliseconds that importing it takes
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
KILL_REPEAT_S = 0.02
NICE_STEP = 5
"""Jobs run at a lower priority than agent and supervisor, so that leases are always renewed."""
OOM_SCORE = 500
"""When memory runs out the kernel picks the job before the agent (-1000 to 1000)."""
OPEN_FILES_LIMIT = 65_536
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_libc = ctypes.CDLL(None, use_errno=True)


class suppress:
    """As contextlib's, which takes 2 ms to load."""

    def __init__(self, *errors: type[BaseException]):
        self.errors = errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self.errors)


def boot_ms() -> int:
    """Milliseconds since boot, also counting suspended time: a lease runs on while a lid is shut."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_id() -> str:
    """Changes with every boot; boot_ms() values of another boot mean nothing."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def signal_number(name: str) -> int:
    """The number of a signal named as in TERM or SIGTERM. ValueError: there is none."""
    full = name if name.startswith("SIG") else f"SIG{name}"
    try:
        return signal.Signals[full].value
    except KeyError:
        raise ValueError(f"no signal is called {name!r}") from None


def write_atomic(path: str, text: str, *, durable: bool = False) -> None:
    """Replace ``path`` in one step; a reader sees the old text or the new one, never a part."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if durable:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_json(path: str) -> dict[str, Any] | None:
    """The JSON object in ``path``; None where the file is missing or not whole."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def supervisor_command(code: str, folder: str) -> list[str]:
    """What starts a supervisor of the run in ``folder``; ``code`` holds our packages."""
    start = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from westward.agent.engines.supervisor import main; sys.exit(main(sys.argv[2]))"
    )
    return [sys.executable, "-I", "-S", "-c", start, code, folder]


def spare_command(code: str) -> list[str]:
    """What starts a supervisor without a run: it reads the run's folder, a line, from its standard
    input, and ends at the end of that if there is none."""
    start = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); "
        "from westward.agent.engines.processes import settle; "
        "from westward.agent.engines.supervisor import main; "
        "line = sys.stdin.buffer.readline(); "
        "folder = os.fsdecode(line[:-1]); "
        "sys.exit((settle(folder), main(folder))[1] if line.endswith(b'\\n') else 0)"
    )
    return [sys.executable, "-I", "-S", "-c", start, code]


def settle(folder: str) -> None:
    """As ``supervisor_command`` is started: in the run's folder, its words in a file there."""
    os.chdir(folder)
    _redirect(os.path.join(folder, "supervisor.log"))


def become_subreaper() -> None:
    """Orphans below this process become its children: none can leave the tree by forking twice."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def spawn(
    script: str,
    *,
    env: Mapping[str, str],
    cwd: str,
    log: str,
    data_limit: int,
    sandbox: Sequence[str] = (),
) -> int:
    """Start ``bash script`` in a session of its own; both outputs are appended to ``log``.
    ``sandbox``: instead this command, with the script's path as its last argument.

    ``data_limit`` bytes is the private memory of each process (RLIMIT_DATA; 0 = no limit).
    RLIMIT_AS is not used: it counts reserved addresses, of which threads and device drivers
    reserve many gigabytes without using them. Returns the process id, also the group's.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:  # in the child: only exec or _exit from here on
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
        signal.set_wakeup_fd(-1)
        for number in (
            signal.SIGTERM,
            signal.SIGCHLD,
            signal.SIGHUP,
            signal.SIGINT,
            signal.SIGPIPE,
        ):
            signal.signal(number, signal.SIG_DFL)
        _redirect(log)
        os.chdir(cwd)
        _limit_child(data_limit)
        command = [*sandbox, script] if sandbox else ["bash", script]
        _replace(command, dict(env))
    except BaseException as error:
        with suppress(OSError):
            os.write(
                2,
                f"westward: cannot start {'the sandbox' if sandbox else 'bash'}: {error}\n".encode(),
            )
    os._exit(127)


def _replace(command: list[str], env: dict[str, str]) -> None:
    """As os.execvpe, which loads more."""
    failed = OSError("not on the PATH")
    for place in env.get("PATH", os.defpath).split(":"):
        try:
            os.execve(os.path.join(place, command[0]), command, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            failed = error
    raise failed


def _redirect(log: str) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def _limit_child(data_limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES_LIMIT if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_LIMIT)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if data_limit:
        resource.setrlimit(resource.RLIMIT_DATA, (data_limit, data_limit))
    os.nice(NICE_STEP)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(OOM_SCORE))


class ProcessSeen:
    """One row of /proc. ``cpu_ms`` includes the process's own children that it has reaped."""

    __slots__ = ("cpu_ms", "name", "parent", "pid", "rss_kib", "state")

    def __init__(
        self, pid: int, parent: int, state: str, cpu_ms: int, rss_kib: int, name: str = ""
    ):
        self.name = name
        """As the process may call itself: nothing is to depend on it that a job could misuse."""
        self.pid = pid
        self.parent = parent
        self.state = state
        self.cpu_ms = cpu_ms
        self.rss_kib = rss_kib


def descendants(root: int) -> list[ProcessSeen]:
    """Every living process below ``root``, zombies excluded, parents before children."""
    by_parent: dict[int, list[ProcessSeen]] = {}
    for seen in _all_processes():
        by_parent.setdefault(seen.parent, []).append(seen)
    found: list[ProcessSeen] = []
    to_visit = [root]
    while to_visit:
        below = by_parent.get(to_visit.pop(), [])
        to_visit.extend(seen.pid for seen in below)
        found.extend(seen for seen in below if seen.state not in "ZX")
    return found


def _all_processes() -> Iterable[ProcessSeen]:
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we looked
        fields = text[text.rindex(")") + 2 :].split()
        ticks = sum(int(value) for value in fields[11:15])
        yield ProcessSeen(
            pid=int(entry),
            parent=int(fields[1]),
            state=fields[0],
            cpu_ms=ticks * 1000 // TICKS_PER_S,
            rss_kib=int(fields[21]) * PAGE_BYTES // 1024,
            name=text[text.index("(") + 1 : text.rindex(")")],
        )


def proportional_kib(processes: Iterable[ProcessSeen]) -> int:
    """Memory of these processes with shared pages counted once (PSS). Slow: ask rarely."""
    total = 0
    for seen in processes:
        with suppress(OSError), open(f"/proc/{seen.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
                    break
    return total


def signal_each(processes: Iterable[ProcessSeen], number: signal.Signals) -> None:
    """Send to each process by itself: groups and sessions are the job's to change."""
    for seen in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(seen.pid, number)


def marked_processes(marker: str) -> list[ProcessSeen]:
    """Processes whose environment holds ``marker`` (KEY=value), wherever in the tree they are.

    Only for cleaning up after a supervisor that was itself killed; a job can hide from it.
    """
    wanted = marker.encode()
    found = []
    for seen in _all_processes():
        if seen.state in "ZX":
            continue
        with suppress(OSError), open(f"/proc/{seen.pid}/environ", "rb") as file:
            if wanted in file.read().split(b"\0"):
                found.append(seen)
    return found


def kill_below(root: int) -> None:
    """Kill everything below ``root``, this process, until nothing is left. With
    ``become_subreaper`` nothing escapes: what loses its parent comes to us."""
    while True:
        _reap_all()
        left = descendants(root)
        if not left:
            return
        signal_each(left, signal.SIGKILL)
        time.sleep(KILL_REPEAT_S)


def _reap_all() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def append_whole(path: str, text: str) -> None:
    """Append all of ``text`` or, with an OSError, nothing of it."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(file).st_size
        data = text.encode()
        try:
            whole = os.write(file, data) == len(data)
        except OSError:
            os.ftruncate(file, size)
            raise
        if not whole:
            os.ftruncate(file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(file)


def hollow(path: str, head: int, tail: int) -> None:
    """Give back the disk blocks of ``path`` between its first ``head`` and last ``tail`` bytes,
    once that is worth it; they then read as zeros, and the file's length stays. Where the file
    system cannot do that, nothing happens."""
    with suppress(OSError):
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            seen = os.fstat(file)
            length = seen.st_size - tail - head
            if length > 0 and seen.st_blocks * 512 > head + 2 * tail:
                flags = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
                _libc.fallocate(file, flags, ctypes.c_int64(head), ctypes.c_int64(length))
        finally:
            os.close(file)
