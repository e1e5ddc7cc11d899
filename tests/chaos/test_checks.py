"""The checks of a chaos run notice what they are there to notice."""

from __future__ import annotations

import random
import socket
import threading
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.audit import Books, against_witness, bills, leases, lost, meter, results
from tests.chaos.killer import Wound, fill
from tests.chaos.proxy import Lines
from tests.chaos.stand import even_network
from tests.chaos.total import ALL, total
from tests.chaos.work import Witness, Work
from tests.soak.__main__ import FLAT, GROWS, POOLED, judge, slopes_of
from tests.soak.measure import slope
from westward.formats.task_set import read_tasks

SOUND = ("begin j a 1 1.00", "beat j a 1 1.20", "begin j b 2 1.30", "end j b 2 1.50")


def witness(*lines: str) -> Witness:
    made = Witness(Path("nowhere"))
    made.take(lines)
    return made


def test_a_sound_witness_says_nothing() -> None:
    assert witness(*SOUND).doubled() == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((*SOUND, "beat j a 1 1.40"), "at once"),
        (("begin j a 1 1.00", "begin j a 1 1.10"), "began 2 times"),
        (("begin j a 1 1.00", "end j a 1 1.1", "end j a 1 1.2"), "ended 2 times"),
        (("begin j a 2 1.00", "begin j b 1 1.10"), "did not rise"),
    ],
)
def test_a_doubled_run_is_noticed(lines: tuple[str, ...], said: str) -> None:
    (told, *_) = witness(*lines).doubled()
    assert said in told


def run(run_id: str, token: int, state: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": run_id, "job_id": "j", "attempt": token, "token": token, "state": state,
        "live": 0, "exit_code": 0 if state == "succeeded" else None, "outcome": state,
        "granted_ms": 1000 * token, "ended_ms": 1000 * token + 900,
        "lease_expires_ms": 1000 * token + 800, "settled_ms": 1, "site": "basin",
        "pool": "basin-west",
    }  # fmt: skip
    return row | changes


def books(*runs: dict[str, Any], state: str = "succeeded") -> Books:
    return Books(
        jobs={"j": {"job_id": "j", "state": state}},
        runs={one["run_id"]: one for one in runs},
        runs_of={"j": list(runs)},
        readings={},
        bills={},
        paid={},
    )


def test_lost_jobs_are_noticed() -> None:
    sound = books(run("a", 1, "lost"), run("b", 2, "succeeded"))
    assert lost(sound, {"j": "succeeded"}) == []
    assert lost(sound, {"j": "succeeded", "k": "succeeded"}) == ["k is not there"]
    assert lost(sound, {}) == ["j was never handed in"]
    assert lost(books(state="bound"), {"j": "succeeded"}) == ["j is not over: bound"]
    assert lost(books(run("a", 1, "lost", live=1)), {"j": "succeeded"}) != []


def test_wrong_results_are_noticed() -> None:
    told: dict[str, int] = {}
    sound = books(run("a", 1, "lost"), run("b", 2, "succeeded"))
    assert results(sound, {"j": "succeeded"}, told) == []
    assert results(sound, {"j": "failed"}, told) != []
    thrice = books(*(run(name, n, "lost") for n, name in enumerate("abc", 1)), state="failed")
    assert results(thrice, {"j": "succeeded"}, told) == []
    assert told["jobs given up after three lost runs"] == 1
    twice = books(*(run(name, n, "lost") for n, name in enumerate("ab", 1)), state="failed")
    assert results(twice, {"j": "succeeded"}, told) != []
    both = books(run("a", 1, "succeeded"), run("b", 2, "succeeded"))
    assert results(both, {"j": "succeeded"}, told) != []


def test_runs_that_only_one_side_knows_are_noticed() -> None:
    told: dict[str, int] = {}
    sound = books(run("a", 1, "lost"), run("b", 2, "succeeded"))
    assert against_witness(sound, witness(*SOUND), told) == []
    assert against_witness(sound, witness(*SOUND[:3]), told) != [], "its end was not seen"
    assert against_witness(sound, witness(*SOUND, "begin j c 3 2.0"), told) != [], "unknown"
    assert against_witness(sound, witness("begin j b 7 1.3", "end j b 7 1.5"), told) != []


def test_leases_that_overlap_are_noticed() -> None:
    assert leases(books(run("a", 1, "lost"), run("b", 2, "succeeded"))) == []
    assert leases(books(run("a", 1, "lost", ended_ms=2500), run("b", 2, "succeeded"))) != []
    apart = books(run("a", 1, "lost", ended_ms=2050), run("b", 2, "succeeded"))
    assert leases(apart) != []
    assert leases(apart, apart_ms=100) == [], "of two servers, whose clocks differ"
    early = run("a", 1, "lost", lease_expires_ms=2500)
    assert leases(books(early, run("b", 2, "succeeded"))) != []


def test_signs_are_looked_for_from_the_blow_on_and_progress_once_it_is_whole() -> None:
    came: set[str] = set()
    wound = Wound("server", "server-0", at=0.0, has_progress=lambda: True)
    wound.signs = {name: partial(came.__contains__, name) for name in ("answered", "begun")}
    came.add("answered")
    wound.look()
    assert set(wound.seen) == {"answered"}
    assert wound.back is None, "it is still away"
    wound.whole = 1.0
    wound.look()
    assert wound.back is not None
    assert set(wound.signs) == {"begun"}


def test_slices_are_added_up_and_times_pooled() -> None:
    row = {
        "store": "sqlite", "servers": 1, "clean": True, "jobs": 10, "executions": 12, "killed": 3,
        "struck_s": 5.0, "asked_again": 0, "answers_lost": 0, "kills": {"agent": 2, "server": 1},
        "others": {"cut": 1}, "wrong_counts": {"lost": 0}, "told": {}, "trouble": {}, "peaks": {},
        "recovery": {
            "agent": [[1.0, 0.5], [3.0, None]],
            "server": [[5.0, 4.0]],
            "server: a user is answered": [[2.0, 1.0], [None, None]],
            "cut": [[9.0, 1.0]],
        },
    }  # fmt: skip
    found = total([row, {**row, "store": "postgresql", "servers": 2, "clean": False}])
    assert (found["slices"], found["clean"], found["killed"]) == (2, 1, 6)
    assert found["stands"]["postgresql, 2 servers"] == {"slices": 1, "jobs": 10, "killed": 3}
    assert found["recovery"]["server: a user is answered"]["never"] == 2
    everybody = found["recovery"][ALL]
    assert (everybody["count"], everybody["p50_s"], everybody["p99_s"]) == (6, 3.0, 5.0)


def test_meters_and_bills_are_worked_out_anew(tmp_path: Path) -> None:
    network = even_network(tmp_path / "network")
    folder = tmp_path / "basin" / "finished" / "b"
    folder.mkdir(parents=True)
    reading = {
        "sequence": 0, "wall_ms": 1000, "device_milli_ms": 500_000, "cpu_ms": 1, "max_rss_kib": 1,
    }  # fmt: skip
    text = str(reading).replace("'", '"')
    (folder / "readings.jsonl").write_text(f"{text}\n")
    sound = books(run("b", 1, "succeeded"))
    sound.readings = defaultdict(list, {"b": [reading]})
    told: dict[str, int] = {}
    assert meter(sound, {"basin": tmp_path / "basin"}, told) == []
    # 0.5 device-seconds at 0.5 an hour, and 400 W at a PUE of 1.25 and 0.75 a kWh: 69.4 + 52.1
    sound.bills = {"b": {"device_milli_ms": 500_000, "total_micros": 121}}
    sound.paid = {"b": 121}
    assert bills(sound, network) == []
    sound.paid = {"b": 122}
    assert len(bills(sound, network)) == 1
    sound.bills["b"]["total_micros"] = 122 + 5
    assert len(bills(sound, network)) == 2
    sound.readings["b"] = [{**reading, "wall_ms": 999}]
    assert len(meter(sound, {"basin": tmp_path / "basin"}, told)) == 1
    (folder / "readings.jsonl").write_text(f"{text}\n{text.replace(': 0,', ': 1,')}\n")
    sound.readings["b"] = [reading]
    (missing,) = meter(sound, {"basin": tmp_path / "basin"}, told)
    assert "1 readings not" in missing


def test_orders_can_be_read_and_have_the_ids_that_are_expected(tmp_path: Path) -> None:
    work = Work(tmp_path / "witness", random.Random(1), "t")
    kinds = set()
    for _ in range(100):
        order = work.draw()
        (named,) = read_tasks(order.text, file="f", job_id=order.job_id, now_ms=1)
        assert tuple(job.job_id for job in named.jobs()) == order.job_ids
        kinds.add((order.expected, order.count))
    assert kinds == {("succeeded", 1), ("succeeded", 5), ("failed", 1), ("cancelled", 1)}


def test_a_slope_is_not_moved_by_wild_values() -> None:
    seconds = [60.0 * minute for minute in range(60)]
    flat = [100.0 + 50 * (minute % 7 == 0) for minute in range(60)]
    found = slope(seconds, flat)
    assert found is not None
    assert abs(found.growth) < 0.01
    grows = slope(seconds, [100.0 + minute + 50 * (minute % 7 == 0) for minute in range(60)])
    assert grows is not None
    assert grows.growth == pytest.approx(44 / 138, rel=0.1)
    assert slope(seconds[:4], flat[:4]) is None


def test_a_cut_line_delivers_when_it_is_healed() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    echo = threading.Thread(target=_echo, args=(server,), daemon=True)
    echo.start()
    lines = Lines(1)
    try:
        line = lines.add("a", lambda: [server.getsockname()[1]])
        with socket.create_connection(("127.0.0.1", line.port), 30) as end:
            end.sendall(b"one")
            assert end.recv(10) == b"one"
            lines.cut(line)
            end.sendall(b"two")
            end.settimeout(0.2)
            with pytest.raises(TimeoutError):
                end.recv(10)
            lines.heal(line)
            end.settimeout(30)
            assert end.recv(10) == b"two"
            line.lose = 1.0
            end.sendall(b"three")
            assert end.recv(10) == b""
        assert line.lost == 1
    finally:
        lines.close()
        server.close()


def _echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(100):
            connection.sendall(data)


def test_a_disk_is_filled_to_the_last_block(tmp_path: Path) -> None:
    class Small:
        """Stands for a disk of 3,000,001 bytes."""

        left = 3_000_001

    def write(block: bytes) -> int:
        if len(block) > Small.left:
            raise OSError(28, "No space left on device")
        Small.left -= len(block)
        return len(block)

    fill(tmp_path / "filler", write)
    assert Small.left == 0


def test_a_soak_is_judged_by_what_grows() -> None:
    def minutes(**grows: float) -> list[dict[str, float]]:
        level = dict.fromkeys((*FLAT, *POOLED, *GROWS), 5.0)
        return [
            {"at_s": 60.0 * at, "load": 1.0 + at % 3}
            | {name: value + grows.get(name, 0.0) * at for name, value in level.items()}
            for at in range(60)
        ]

    flat = minutes(jobs=60, database_mib=1)
    assert all(judge(flat, slopes_of(flat)).values())
    for name in (*FLAT, *POOLED):
        leaks = minutes(**{name: 1.0})
        assert judge(leaks, slopes_of(leaks))[name] is False
    assert judge(flat[:4], slopes_of(flat[:4]))["server_rss_kib"] is None
