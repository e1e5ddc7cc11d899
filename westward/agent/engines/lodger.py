"""Holds one run at a node of somebody else's engine, where neither files nor clock are the agent's.

Sent along with the run (``kit.py``) and started by the engine there. It asks the agent's door
whether the run may begin, starts the same supervisor that runs jobs on the agent's own machine, and
from then on asks for the lease again and again, counting each answer from before it asked: the two
clocks need not agree. Without answers the supervisor stops the work before the lease ends; so it
does when this process is killed. What the job prints goes to standard output between a first line
and a last one (``BEGIN``, ``END``), the last saying how the run ended.

Standard library only, and of that what loads fast: every run's start waits for it. What only this
process needs, once the supervisor has begun beside it, is loaded then. Python 3.9 or newer.
"""

from __future__ import annotations

import _socket  # what ``socket`` adds to it takes as long to load as all of the lodger
import binascii
import codecs
import contextlib
import json
import os
import signal
import sys
import time
import zlib
from itertools import islice

from westward.agent.engines import supervisor
from westward.agent.engines.processes import boot_ms, read_json, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEGIN = "\x1ewestward-begin"
END = "\x1ewestward-end "
PUMP_S = 0.1
"""How often the job's output is carried on."""
PUMP_BYTES = 256 * 1024
RETRY_S = 0.5
PRIVATE = ("WESTWARD_KIT", "WESTWARD_ORDER")
"""Variables that are for this process alone."""
ANSWER_S = 10
"""The door may take this much longer than it was asked to hold the question."""


class Gone(Exception):
    """The agent does not know this run, or another process has begun it."""


class Lodger:
    """One run at this node. ``kit`` is the folder of the code that was sent along."""

    def __init__(self, kit: str, order: dict[str, Any]):
        self.kit = kit
        self.order = order
        self.folder = os.path.join(kit, "run")
        self.instance = os.urandom(16).hex()
        self.supervisor_pid = 0
        self.term_at = 0
        self.kill_at = 0
        self.acknowledged = -1
        self.told_to_stop = False
        self.over = False

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    # -- asking for leave

    def ask(self, end: dict[str, Any] | None = None, hold_ms: int = 0) -> None:
        """One question, one answer: the lease is extended, a stop passed on. OSError, Gone."""
        readings = self.readings()
        question = {
            "key": self.order["key"],
            "instance": self.instance,
            "node": os.uname().nodename,
            "started": os.path.exists(self.path("started.json")),
            "readings": readings,
            "hold_ms": hold_ms,
            "end": end,
        }
        url = f"{self.order['door']}/v1/runs/{self.order['supervised']['run_id']}"
        asked_at = boot_ms()
        try:
            status, body = post(url, json.dumps(question).encode(), hold_ms / 1000 + ANSWER_S)
            answer = json.loads(body) if status == 200 else {}
        except ValueError as error:
            raise OSError(str(error)) from error
        if status in (403, 410):
            raise Gone(body.decode(errors="replace"))
        if status != 200:
            raise OSError(f"the door answered {status}")
        if readings:
            self.acknowledged = readings[-1]["sequence"]
        if answer["kill_ms"] is not None:
            self.term_at = asked_at + answer["term_ms"]
            self.kill_at = asked_at + answer["kill_ms"]
            lease = {"term_at": self.term_at, "kill_at": self.kill_at}
            write_atomic(self.path("deadline.json"), json.dumps(lease))
        if answer["stop"] is not None:
            self.stop(answer["stop"])

    def keep_asking(self) -> None:
        """In a thread of its own until the run is over. The door holds a question until it has
        news, so that a stop is heard at once."""
        while not self.over:
            hold_ms = int(self.order["hold_ms"])
            try:
                self.ask(hold_ms=0 if self.told_to_stop else hold_ms)
                pause_s = RETRY_S if self.told_to_stop else 0.0
            except Gone:
                self.stop("lease-expired")
                return
            except OSError:
                pause_s = RETRY_S
            time.sleep(pause_s)

    def readings(self) -> list[dict[str, Any]]:
        """What was metered and is not known to have been heard."""
        try:
            with open(self.path("readings.jsonl"), encoding="utf-8") as file:
                return [json.loads(line) for line in islice(file, self.acknowledged + 1, None)]
        except FileNotFoundError:
            return []

    def stop(self, outcome: str) -> None:
        """Pass it on to the supervisor. The first outcome stands."""
        self.told_to_stop = True
        with contextlib.suppress(FileExistsError), open(self.path("stop"), "x") as file:
            file.write(outcome)
        supervisor = read_json(self.path("supervisor.json"))
        if supervisor is not None and supervisor.get("pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(supervisor["pid"]), signal.SIGTERM)

    # -- the run, start to end

    def run(self) -> int:
        """The exit code to end with: the job's own, 1 where it has none."""
        self.write_files()
        print(BEGIN, flush=True)
        refusal = self.leave()
        if refusal:
            return self.tell_end({"outcome": "lease-expired", "exit_code": None, "detail": refusal})
        signal.signal(signal.SIGTERM, lambda _number, _frame: self.stop("failed"))
        self.begin()
        import threading

        asking = threading.Thread(target=self.keep_asking, daemon=True)
        asking.start()
        self.pump()
        ended = read_json(self.path("exit.json"))
        if ended is None:
            with open(self.path("supervisor.log"), errors="replace") as file:
                words = file.read()[-500:].strip()
            detail = f"the supervisor at the node ended early: {words}"
            ended = {"outcome": "lease-expired", "exit_code": None, "detail": detail}
        self.over = True
        return self.tell_end(ended)

    def begin(self) -> None:
        """Start the supervisor, in a session of its own. A copy of this process, which has loaded
        all it needs already; so it must come before the first thread."""
        sys.stdout.flush()
        self.supervisor_pid = os.fork()
        if self.supervisor_pid:
            return
        code = 1
        try:  # in the child: nothing of the lodger's own may run on
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            out = os.open(self.path("supervisor.log"), flags, 0o644)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.chdir(self.folder)
            code = supervisor.main(self.folder)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)

    def write_files(self) -> None:
        for name in ("run", "run/work", "run/home", "run/output"):
            os.mkdir(os.path.join(self.kit, name))
        supervised = dict(self.order["supervised"])
        for script in ("run", "setup"):
            with open(self.path(f"{script}.sh"), "w", encoding="utf-8") as file:
                file.write(supervised.pop(f"{script}_text"))
        env = {**_without_us(dict(os.environ)), **supervised["env"]}
        env.update(
            HOME=self.path("home"),
            WESTWARD_OUTPUT=self.path("output"),
            WESTWARD_PYTHON=sys.executable,
        )
        supervised.update(env=env, wake=self.path("nobody-listens"))
        write_atomic(self.path("order.json"), json.dumps(supervised))

    def leave(self) -> str:
        """Wait for the first answer. Empty: the run may begin; else why not."""
        give_up = boot_ms() + int(self.order["ttl_ms"])
        while True:
            try:
                self.ask()
            except Gone as error:
                return f"the agent does not let it begin: {error}"
            except OSError as error:
                if boot_ms() > give_up:
                    return f"the agent's door {self.order['door']} cannot be reached: {error}"
            else:
                if self.told_to_stop:
                    return "stopped before it began"
                if self.kill_at > boot_ms():
                    return ""
                if boot_ms() > give_up:
                    return "the lease was over before it began"
            time.sleep(RETRY_S)

    def pump(self) -> None:
        """Carry the job's output on until the supervisor has ended. Only text gets through Ray's
        log: bytes that are none are shown as \\xNN."""
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        offset = 0
        while True:
            ended = os.waitpid(self.supervisor_pid, os.WNOHANG)[0] != 0
            offset = self.carry(decoder, offset)
            if ended:
                _print(decoder.decode(b"", final=True))
                return
            time.sleep(PUMP_S)

    def carry(self, decoder: codecs.IncrementalDecoder, offset: int) -> int:
        try:
            with open(self.path("rank0.log"), "rb") as file:
                file.seek(offset)
                while data := file.read(PUMP_BYTES):
                    _print(decoder.decode(data))
                    offset += len(data)
        except FileNotFoundError:
            pass
        return offset

    def tell_end(self, ended: dict[str, Any]) -> int:
        """To the door, as long as the lease lasts, and as the last line of the output."""
        word = {key: ended[key] for key in ("outcome", "exit_code", "detail")}
        while True:
            try:
                self.ask(end=word)
                break
            except Gone:
                break
            except OSError:
                if boot_ms() + RETRY_S * 1000 > self.kill_at:
                    break
                time.sleep(RETRY_S)
        last = {**word, "key": self.order["key"], "readings": _summed(self.readings())}
        _print(END + json.dumps(last) + "\n")
        code = word["exit_code"]
        return 0 if word["outcome"] == "succeeded" else code if code and code > 0 else 1


def post(url: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
    """Status and answer of one request on a connection of its own; OSError where it breaks off. The
    agent is in the site's own network, so no proxy stands between. (To load the standard library's
    client takes longer than the rest of a start.)"""
    where, _, path = url[len("http://") :].partition("/")
    host, _, port = where.rpartition(":")
    head = (
        f"POST /{path} HTTP/1.0\r\nHost: {where}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    pieces = []
    line = _connected(host.strip("[]"), int(port), timeout_s)
    try:
        line.sendall(head.encode() + body)
        while True:
            piece = line.recv(65_536)
            if not piece:
                break
            pieces.append(piece)
    finally:
        line.close()
    told, _, answer = b"".join(pieces).partition(b"\r\n\r\n")
    first, *fields = told.split(b"\r\n")
    lengths = [
        int(value)
        for name, _, value in (field.partition(b":") for field in fields)
        if name.strip().lower() == b"content-length"
    ]
    words = first.split()
    if len(words) < 2 or not words[1].isdigit() or lengths != [len(answer)]:
        raise OSError("the door broke off its answer")
    return int(words[1]), answer


def _connected(host: str, port: int, timeout_s: float) -> _socket.socket:
    """To the first of the host's addresses that takes it. OSError: none does."""
    last = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in _socket.getaddrinfo(
        host, port, 0, _socket.SOCK_STREAM
    ):
        line = _socket.socket(family, kind, protocol)
        try:
            line.settimeout(timeout_s)
            line.connect(address)
        except OSError as error:
            last = error
            line.close()
        else:
            return line
    raise last


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _without_us(env: dict[str, str]) -> dict[str, str]:
    """Ray hands the variables of a job on to all that the job starts through Ray: not ours."""
    with contextlib.suppress(KeyError, ValueError, AttributeError, TypeError):
        config = json.loads(env["RAY_JOB_CONFIG_JSON_ENV_VAR"])
        for name in PRIVATE:
            config["runtime_env"]["env_vars"].pop(name, None)
        env["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(config)
    return {name: value for name, value in env.items() if name not in PRIVATE}


def _summed(readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As one reading with the first one's number, so that the last line stays short."""
    if not readings:
        return []
    whole = dict(readings[0])
    for reading in readings[1:]:
        for name in ("wall_ms", "device_milli_ms", "cpu_ms"):
            whole[name] += reading[name]
        whole["max_rss_kib"] = max(whole["max_rss_kib"], reading["max_rss_kib"])
    return [whole]


def main(kit: str) -> int:
    """Run what the variable WESTWARD_ORDER says; ``kit`` is removed at the end."""
    packed = os.environ["WESTWARD_ORDER"]
    order = json.loads(zlib.decompress(binascii.a2b_base64(packed)))
    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    try:
        return Lodger(kit, order).run()
    finally:
        import shutil

        shutil.rmtree(kit, ignore_errors=True)
