"""``make run``: three real jobs on three sites, with the reasons, ending in the table of results.

Asserts what it shows: exit code 0 only if all jobs succeeded, on at least two sites, and one of
them waited for cheaper hours because that was cheaper.
"""

from __future__ import annotations

import base64
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from westward.cli.client import Client, job_path
from westward.cli.cmd_report import footer, print_report
from westward.cli.fail import EXIT_JOB, EXIT_OK, Failure
from westward.cli.follow import TERMINAL, job_line
from westward.cli.live_plan import decision_as_plan
from westward.cli.local_network import LocalNetwork, local_network, refuse_second
from westward.cli.render_plan import render_answer
from westward.model.network import Network
from westward.model.plan import Placement, Why
from westward.model.units import format_duration, format_money

EXAMPLES = Path("examples")
JOBS = ("train-digits", "word-array", "flexible-batch")
MARK = "DEMONSTRATION"
GIVE_UP_S = 240.0
LOOK_EVERY_S = 0.25
SETTLED_WITHIN_S = 20.0


@dataclass(slots=True)
class Watched:
    """One job of the demonstration and what was said of it so far."""

    name: str
    job_id: str
    said: str = ""
    explained: bool = False
    put_off: Placement | None = None
    """Its placement, if the planner put it off to a better hour."""
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.job.get("state") in TERMINAL


class Screen:
    """Lines with the time since the start; on a terminal also two lines that are rewritten."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.live = sys.stdout.isatty()
        self._shown = 0

    def say(self, text: str) -> None:
        self.clear()
        seconds = time.monotonic() - self.began
        first, *rest = text.splitlines()
        print(f"[{seconds:5.1f}s] {first}")
        for line in rest:
            print(f"         {line}")
        sys.stdout.flush()

    def status(self, lines: Sequence[str]) -> None:
        if not self.live:
            return
        width = shutil.get_terminal_size().columns - 1
        self.clear()
        print("\n".join(line[:width] for line in lines), end="", flush=True)
        self._shown = len(lines)

    def clear(self) -> None:
        if self._shown:
            up = f"\x1b[{self._shown - 1}A" if self._shown > 1 else ""
            print(f"{up}\r\x1b[J", end="", flush=True)
            self._shown = 0


def demonstrate(folder: Path, data: Path, port: int) -> int:
    """Run the whole demonstration on a fresh data folder; returns the exit code."""
    files = [EXAMPLES / f"{name}.yaml" for name in JOBS]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise Failure(
            f"the demonstration needs {', '.join(missing)}. Start it in the project's folder."
        )
    from westward.network.loader import load_network

    network = load_network(folder)
    _fresh(data)
    screen = Screen()
    screen.say(
        f"{network.name}: {network.label}. Starting the server and {len(network.sites)} sites"
    )
    names = [site.name for site in network.sites]
    with local_network(folder, data, names, port=port) as running:
        screen.say(
            f"server at {running.url}; connected: {', '.join(names)} "
            f"({len(running.children)} processes)"
        )
        client = Client(running.url)
        watched = [_submit(client, path, screen) for path in files]
        try:
            _watch(client, running, network, watched, screen)
            return _finish(client, network, watched, screen)
        finally:
            screen.clear()
            for one in watched:
                if not one.over:
                    client.post(job_path(one.job_id, "cancel"))


def _fresh(data: Path) -> None:
    """An empty folder: the pretended day begins with a network's first start. Only a folder that
    a demonstration made is ever removed."""
    if data.exists() and any(data.iterdir()):
        if not (data / MARK).is_file():
            raise Failure(
                f"{data} holds something else than a demonstration. Give another --data DIR."
            )
        refuse_second(data)
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARK).write_text("made by westward up --demo, removed by the next one\n")


def _submit(client: Client, path: Path, screen: Screen) -> Watched:
    """Hand one example in under a fixed id: repeating the request would give the same job."""
    job_id = f"job_{path.stem}"
    body = {
        "task": path.read_text(encoding="utf-8"),
        "job_id": job_id,
        "file": str(path),
        "base_dir": str(path.resolve().parent),
    }
    job = client.post("/v1/jobs", body)
    screen.say(f"handed in {path} as {job['job_id']}")
    return Watched(path.stem, job_id)


def _watch(
    client: Client,
    running: LocalNetwork,
    network: Network,
    watched: list[Watched],
    screen: Screen,
) -> None:
    """Tell decisions and changes as they come, until all jobs are over."""
    end = time.monotonic() + GIVE_UP_S
    while not all(one.over for one in watched):
        running.check()
        if time.monotonic() > end:
            slow = ", ".join(one.name for one in watched if not one.over)
            raise Failure(f"not over after {GIVE_UP_S:g} s: {slow}", code=EXIT_JOB)
        for one in watched:
            if one.over:
                continue
            one.job = client.get(job_path(one.job_id))
            if not one.explained and one.job["state"] != "pending":
                _explain(client, network, one, screen)
            line = job_line(one.job)
            if line != one.said and one.job["state"] not in ("pending", "leased"):
                screen.say(line)
                one.said = line
        if screen.live:
            screen.status(_status(client, watched))
        time.sleep(LOOK_EVERY_S)


def _explain(client: Client, network: Network, one: Watched, screen: Screen) -> None:
    """The decision as ``westward plan`` would show it."""
    decision = client.get(job_path(one.job_id, "why"))["decision"]
    if decision is None:
        return
    plan = decision_as_plan(decision)
    answer = plan.placements[0] if plan.placements else plan.refusals[0]
    screen.say("decided: " + render_answer(answer, plan, network, None))
    one.explained = True
    if plan.placements and plan.placements[0].why is Why.WAITS_FOR_BETTER_HOUR:
        one.put_off = plan.placements[0]


def _status(client: Client, watched: list[Watched]) -> list[str]:
    """Two lines: what each job does, and what power costs at each site right now."""
    answer = client.get("/v1/sites")
    now_ms = answer["now_ms"]
    parts = []
    for one in watched:
        state = one.job["state"]
        if state == "running" and one.job["started_ms"] is not None:
            state = f"runs {format_duration((now_ms - one.job['started_ms']) // 1000 * 1000)}"
        elif state == "bound" and one.job["expected_start_ms"] > now_ms:
            left = (one.job["expected_start_ms"] - now_ms) // 1000 * 1000
            state = f"waits {format_duration(left)}"
        parts.append(f"{one.name} {state}")
    prices = [
        f"{site['site']} {site['now']['tariff_per_kwh']:.2f}"
        for site in answer["sites"]
        if site["now"]["tariff_per_kwh"] is not None
    ]
    return [
        f"  now: {', '.join(parts)}",
        f"  power, {answer['currency']}/kWh: {', '.join(prices)}",
    ]


def _finish(client: Client, network: Network, watched: list[Watched], screen: Screen) -> int:
    """The table, what the jobs printed last, what waiting saved, and the verdict."""
    report = _settled(client)
    rows = report["jobs"]
    screen.say("all jobs are over")
    print()
    print_report(rows, network.currency)
    print(footer(report))
    if any(fact.assumption for fact in network.facts):
        print(f"prices, power and carbon factors are the assumptions of the network {network.name}")
    print()
    for one in watched:
        print(f"{one.name} printed last: {_last_line(client, one.job_id)}")
    print()
    faults = [
        f"{one.name} did not succeed: {job_line(one.job)}; its log is above"
        for one in watched
        if one.job["state"] != "succeeded"
    ]
    used = sorted({row["site"] for row in rows if row["site"] is not None})
    if len(used) < 2:
        faults.append(f"the jobs ran on {len(used)} site(s), not on two or more")
    waited = [one for one in watched if one.put_off and one.put_off.saved_by_waiting > 0.0]
    for one in waited:
        row = next(row for row in rows if row["job_id"] == one.job_id)
        print(_what_waiting_saved(one, row, network.currency))
    if not waited:
        faults.append("no job waited for cheaper hours: was the start-up slower than the peak?")
    for fault in faults:
        print(f"NOT AS IT SHOULD BE: {fault}", file=sys.stderr)
    if not faults:
        print(
            f"{len(watched)} of {len(watched)} jobs succeeded on {len(used)} sites: {', '.join(used)}."
        )
    return EXIT_JOB if faults else EXIT_OK


def _what_waiting_saved(one: Watched, row: dict[str, Any], currency: str) -> str:
    assert one.put_off is not None
    there, saved = one.put_off.estimate, one.put_off.saved_by_waiting
    at_once = there.terms.total + saved
    return (
        f"{one.name} waited {format_duration(round(row['wait_ms'], -2))}. The planner put it off by "
        f"{format_duration(round(there.start_ms - there.earliest_ms, -2))} for cheaper hours at "
        f"{there.site}: {format_money(there.terms.total, currency)} in place of "
        f"{format_money(at_once, currency)},\nwhich saves {format_money(saved, currency)} "
        f"({saved / at_once:.0%}). It was billed {format_money(row['price_micros'], currency)}."
    )


def _settled(client: Client) -> dict[str, Any]:
    """The report, once every bill is in."""
    end = time.monotonic() + SETTLED_WITHIN_S
    while True:
        report: dict[str, Any] = client.get("/v1/report")
        if all(row["settled"] for row in report["jobs"]) or time.monotonic() > end:
            return report
        time.sleep(LOOK_EVERY_S)


def _last_line(client: Client, job_id: str) -> str:
    answer = client.get(job_path(job_id, "logs"))
    text = base64.b64decode(answer["data_b64"]).decode("utf-8", errors="replace").strip()
    return text.splitlines()[-1] if text else "nothing"
