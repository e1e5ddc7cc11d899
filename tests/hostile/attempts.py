"""What a malicious job tries on a site, one script each, and what comes of it: ``held`` or ``open``,
with bubblewrap and without. docs/security.md shows this table; a test holds the page to it.

A script ends with 0 if it got what it wanted. It knows of its victim by the variables that
``test_sandbox`` sets: VICTIM_FILE (of another job), CREDENTIAL (the agent's), VICTIM_PID (of another
job), AGENT_PID, PORT (a listener on the host's loopback), ADDRESS and OUTER_PORT (one on its other
address), ABSTRACT (a socket's name), OUTSIDE (a folder of the same user's), RUN (the run's folder).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Result = Literal["held", "open"]


@dataclass(frozen=True)
class Attempt:
    name: str
    """As the page says it."""
    script: str
    plain: Result
    sandbox: Result
    memory_mib: int = 0


def python(text: str) -> str:
    return f"exec \"$WESTWARD_PYTHON\" - <<'END'\nimport os, socket, sys\n{text}\nEND\n"


ATTEMPTS = (
    Attempt("read another job's files", 'grep -q precious "$VICTIM_FILE"', "open", "held"),
    Attempt("read the agent's credential", 'grep -q secret "$CREDENTIAL"', "open", "held"),
    Attempt(
        "reach the server's or agent's port on loopback",
        python("socket.create_connection(('127.0.0.1', int(os.environ['PORT'])), 5)"),
        "open", "held",
    ),
    Attempt(
        "reach the network",
        python(
            "socket.create_connection((os.environ['ADDRESS'], int(os.environ['OUTER_PORT'])), 5)"
        ),
        "open", "held",
    ),
    Attempt(
        "reach an abstract socket of the host",
        python(
            "one = socket.socket(socket.AF_UNIX)\none.connect('\\0' + os.environ['ABSTRACT'])"
        ),
        "open", "held",
    ),
    Attempt("write outside its folder", 'touch "$OUTSIDE/planted"', "open", "held"),
    Attempt("write into the system's folders", "touch /usr/local/bin/planted", "open", "held"),
    Attempt(
        "forge its meter readings",
        'cd "$RUN" && echo "{}" >> readings.jsonl && test -s readings.jsonl', "open", "held",
    ),
    Attempt(
        "lengthen its own lease", 'test -w "$RUN/deadline.json" && touch "$RUN/deadline.json"',
        "open", "held",
    ),
    Attempt("kill another job's process", 'kill -CONT "$VICTIM_PID"', "open", "held"),
    Attempt("kill the agent", 'kill -CONT "$AGENT_PID"', "open", "held"),
    Attempt("kill its own supervisor", 'kill -CONT "$PPID" && test "$PPID" -gt 10', "open", "held"),
    Attempt(
        "trace another job's process (ptrace)",
        python(
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
            "pid = int(os.environ['VICTIM_PID'])\n"
            "sys.exit(0 if libc.ptrace(0x4206, pid, 0, 0) == 0 else 1)"  # PTRACE_SEIZE: no stop
        ),
        "open", "held",
    ),
    Attempt(
        "read the environment of others in /proc",
        'tr "\\0" "\\n" < "/proc/$VICTIM_PID/environ" | grep -q WESTWARD_RUN_ID', "open", "held",
    ),
    Attempt(
        "read the agent's environment in /proc",
        'tr "\\0" "\\n" < "/proc/$AGENT_PID/environ" | grep -q AGENT_SECRET', "open", "held",
    ),
    Attempt(
        "see the agent's secrets in its own environment", "env | grep -q AGENT_SECRET",
        "held", "held",
    ),
    Attempt(
        "gain rights by a setuid program", "grep -q '^NoNewPrivs:.0' /proc/self/status",
        "open", "held",
    ),
    Attempt(
        "make namespaces of its own", "unshare --user --map-root-user true", "open", "held",
    ),
    Attempt(
        "mount a file system", "mkdir -p m && mount -t tmpfs none m && umount m", "open", "held",
    ),
    Attempt(
        "use more memory than it asked for",
        python("x = bytearray(400 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1"),
        "held", "held", memory_mib=100,
    ),
    Attempt(
        "fill memory through /dev/shm beyond what it asked for",
        'head -c 130M /dev/zero > /dev/shm/w$$; s=$?; rm -f /dev/shm/w$$; exit $s',
        "open", "held", memory_mib=100,
    ),
    Attempt(
        "start processes without limit (300 tried)",
        "for i in $(seq 300); do sleep 60 & done; test $(jobs -p | wc -l) = 300", "open", "open",
    ),
    Attempt(
        "fill the disk (64 MiB tried; nothing counts them)",
        "head -c 64M /dev/zero > big; s=$?; rm -f big; exit $s", "open", "open",
    ),
    Attempt(
        "read what everyone on the machine may read (/etc/passwd)", "grep -q root /etc/passwd",
        "open", "open",
    ),
)  # fmt: skip
