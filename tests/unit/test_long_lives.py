"""Reading longer lives from job files, the bytes of checkpoints, and what the planner is told."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from test_server_parts import NOW, POLICY, greet, job, look, network, plan_once, store, submit

import westward.store
from westward.agent.checkpoints import scan
from westward.control.events import PauseRequested, RunEnded, RunStarted
from westward.control.machine import Ignored
from westward.control.records import Aim, JobRecord, JobState
from westward.formats.life_terms import parse_after, parse_array, parse_checkpoint, parse_retry
from westward.formats.task_set import read_tasks
from westward.model.faults import InputFaults
from westward.model.job import After, Checkpoint, InputData, Retry
from westward.model.network import Network
from westward.model.wire import SavedFile
from westward.server import checkpoint_files
from westward.server.applier import moved_checkpoint
from westward.server.checkpoint_files import CheckpointFiles, WrongFiles, check_files
from westward.server.reconsidering import moves_that_pay
from westward.server.resumed import bound_to, resumed_spec
from westward.store import codec
from westward.store.checkpoints import (
    kept_checkpoint,
    latest_checkpoints,
    load_moves,
    note_move,
    save_checkpoint,
)
from westward.store.database import Store, open_store
from westward.store.jobs import load_active, load_job
from westward.store.lifecycle import apply_event, report_run
from westward.store.results import Change, CheckpointMove
from westward.store.sets import find_named
from westward.store.sites import poll_site

__all__ = ["network", "store"]  # fixtures
MIGRATIONS = Path(westward.store.__file__).parent / "migrations"


def test_terms() -> None:
    assert parse_after("a, afterany:job_7 ,afterok:b.3") == (
        After(job_id="", mode="ok", name="a"),
        After(job_id="", mode="any", name="job_7"),
        After(job_id="", mode="ok", name="b.3"),
    )
    assert parse_after("none") == ()
    assert parse_array("20").count == 20
    axes = parse_array("lr=0.1|0.01, seed=1|2|3")
    assert axes.count == 6
    assert axes.of(1) == (("lr", "0.1"), ("seed", "2"))
    assert parse_retry("attempts=5,on=75|137,never=2,backoff=30s") == Retry(
        attempts=5, on_exit_codes=(75, 137), never_on=(2,), backoff_ms=30_000
    )
    assert parse_retry("attempts=2") == Retry(attempts=2)
    assert parse_checkpoint("ckpt/last.npz every 10m") == Checkpoint(
        path="ckpt/last.npz", every_ms=600_000
    )
    assert parse_checkpoint("a b every 1s signal SIGUSR1 grace 2m") == Checkpoint(
        path="a b", every_ms=1_000, signal="USR1", grace_ms=120_000
    )


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (parse_after, "beforeok:a", "neither NAME"),
        (parse_after, "a,,b", "is not the name"),
        (parse_after, "a,a", "stands twice"),
        (parse_array, "0", "1 to 1000"),
        (parse_array, "1001", "1 to 1000"),
        (parse_array, "a=1|,b=2", "neither a number"),
        (parse_array, "WESTWARD_X=1", "set by the engine"),
        (parse_array, "a=1,a=2", "stands twice"),
        (parse_retry, "on=75", "attempts=N"),
        (parse_retry, "attempts=0", "from 1 to 100"),
        (parse_retry, "attempts=3,on=256", "from 1 to 255"),
        (parse_retry, "attempts=3,on=5,never=5", "under on and under never"),
        (parse_retry, "attempts=3,backoff=2h", "between 0s and 1h"),
        (parse_retry, "tries=3", "none of"),
        (parse_checkpoint, "/abs every 1s", "relative path"),
        (parse_checkpoint, "../up every 1s", "relative path"),
        (parse_checkpoint, "a every 1s signal KILL", "not one of"),
        (parse_checkpoint, "a every 1s grace 2d", "between 1ms and 1h"),
    ],
)
def test_wrong_terms(parse: object, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)  # type: ignore[operator]


def document(name: str, after: str | None = None, extra: str = "") -> str:
    label = f"    westward.after: {after}\n" if after is not None else ""
    return f"name: {name}\nresources:\n  labels:\n    x: y\n{label}{extra}run: 'true'\n"


def read(text: str) -> list[str]:
    """The faults, in words."""
    with pytest.raises(InputFaults) as told:
        read_tasks(text, file="f.yaml", job_id="job_1", now_ms=NOW)
    return [str(fault) for fault in told.value.faults]


def test_several_documents() -> None:
    text = "---\n".join([document("a"), document("b", "a,job_9"), document("c", "none")])
    a, b, c = read_tasks(text, file="f", job_id="job_1", now_ms=NOW)
    assert [one.job.job_id for one in (a, b, c)] == ["job_1.a", "job_1.b", "job_1.c"]
    assert b.job.after == (
        After(job_id="job_1.a", name="a"),
        After(job_id="", name="job_9"),
    )
    assert b.after_row == 11
    assert c.job.after == ()


def test_faults_of_several_documents_are_told_at_once() -> None:
    unnamed = "resources: {}\nrun: 'true'\n"
    text = "---\n".join([document("a"), document("b", "a"), document("a"), unnamed])
    faults = read(text)
    assert len(faults) == 4
    assert "two jobs are named 'a'; the first stands at line 1" in faults[0]
    assert "does not say what it waits for" in faults[1]
    assert "the document has no name" in faults[2]
    (circle,) = read("---\n".join([document("a", "b"), document("b", "a")]))
    assert circle.startswith("f.yaml:5 [resources.labels.westward.after]: a follows b follows a:")
    assert any("follows itself" in one for one in read(document("a", "a")))
    many = "---\n".join(document(f"n{n}", "none", '    westward.array: "600"\n') for n in range(2))
    assert "asks for 1200 jobs" in read(many)[0]


def test_an_array_counted_out() -> None:
    text = document("a", extra="    westward.array: lr=1|2\n") + "envs: {lr: old, keep: k}\n"
    (array,) = read_tasks(text, file="f", job_id="job_1", now_ms=NOW)
    one, two = array.jobs()
    assert (one.job_id, two.name) == ("job_1.0", "a.1")
    assert two.array is not None
    assert (two.array.array_id, two.array.index, two.array.count) == ("job_1", 1, 2)
    assert dict(two.work.envs) == {
        "keep": "k", "lr": "2", "WESTWARD_ARRAY_ID": "job_1", "WESTWARD_ARRAY_INDEX": "1",
        "WESTWARD_ARRAY_COUNT": "2",
    }  # fmt: skip


# -- the bytes


def saved(path: str, data: bytes) -> SavedFile:
    return SavedFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_checkpoint_files_come_in_parts_and_are_checked(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path / "c")
    one = saved("a", b"hello world")
    wanted = (one, SavedFile(path="latest", link="a"))
    assert files.missing("job_1", wanted) == ((one.sha256, 0),)
    assert files.append("job_1", one.sha256, 11, 0, b"hello") == 5
    assert files.append("job_1", one.sha256, 11, 0, b"hello") == 5, "a repeat"
    assert files.append("job_1", one.sha256, 11, 9, b"ld") == 5, "a gap"
    assert files.missing("job_1", wanted) == ((one.sha256, 5),)
    assert files.append("job_1", one.sha256, 11, 5, b" w0rld") == 0, "broken on the way: anew"
    assert files.append("job_1", one.sha256, 11, 0, b"hello world") == 11
    assert files.missing("job_1", wanted) == ()
    assert files.append("job_1", one.sha256, 11, 0, b"hello world") == 11
    assert files.read("job_1", one.sha256, 6, 100) == b"world"
    assert files.jobs() == ["job_1"]
    files.keep_only("job_1", ())
    with pytest.raises(FileNotFoundError):
        files.read("job_1", one.sha256, 0, 1)
    files.drop(["job_1"])
    assert files.jobs() == []


def test_room_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = CheckpointFiles(tmp_path)
    assert files.room_for("job_1", [saved("a", b"x")])
    monkeypatch.setattr(checkpoint_files, "FREE_LEAST_BYTES", 2**62)
    assert not files.room_for("job_1", [saved("a", b"x")])


@pytest.mark.parametrize(
    "files",
    [
        (saved("../a", b""),),
        (saved("/a", b""),),
        (saved("a", b""), saved("a", b"x")),
        (replace(saved("a", b""), sha256="../../etc"),),
        (replace(saved("a", b""), size_bytes=-1),),
        (SavedFile(path="l", link="/etc/passwd"),),
        tuple(saved(str(n), b"") for n in range(10_001)),
    ],
)
def test_files_that_are_no_checkpoint(files: tuple[SavedFile, ...]) -> None:
    with pytest.raises(WrongFiles):
        check_files(files)


def test_names_that_lead_out_are_no_folders(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path)
    for name in ("../x", "job_/../x", "x"):
        with pytest.raises(WrongFiles):
            files.missing(name, ())
    with pytest.raises(WrongFiles):
        files.read("job_1", "../secret", 0, 1)


def test_what_a_site_scans(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"a")
    (tmp_path / "latest").symlink_to("deep/a")
    (tmp_path / "folder").symlink_to("deep")
    (tmp_path / "out").symlink_to("../elsewhere")
    (tmp_path / "root").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    assert scan(tmp_path) == (
        saved("deep/a", b"a"),
        SavedFile(path="folder", link="deep"),
        SavedFile(path="latest", link="deep/a"),
    )


# -- in the store, and as the planner is told

SAVES = Checkpoint(path="c", every_ms=1_000)
FILES = (saved("a", b"1234"),)


def run_of(store: Store, network: Network, name: str, site: str) -> tuple[str, int]:
    """Places and starts the job there; answers (run id, token)."""
    plan_once(store, network)
    record = load_job(store, name)
    assert record is not None
    run = record.live_run
    assert run is not None, record
    assert run.site == site
    poll_site(store, site, 1, (), 10_000, NOW)
    report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), NOW)
    return run.run_id, run.token


def paused(store: Store, network: Network) -> JobRecord:
    """Ran 20 of its 60 s at basin, was stopped with a checkpoint of 4 bytes, and is pending."""
    submit(store, job("job_1", checkpoint=SAVES, options=job("x").options))
    greet(store, "basin")
    run_id, token = run_of(store, network, "job_1", "basin")
    apply_event(store, "job_1", PauseRequested(kind="preempt", by="the planner"), NOW)
    noted = save_checkpoint(store, run_id, token, FILES, at_server=True, now_ms=NOW)
    again = save_checkpoint(store, run_id, token, FILES, at_server=True, now_ms=NOW + 9)
    assert noted == again, "a repeat"
    wrong = save_checkpoint(store, run_id, token + 1, FILES, at_server=True, now_ms=NOW)
    assert isinstance(wrong, Ignored)
    end = RunEnded(run_id=run_id, token=token, outcome="preempted", exit_code=None)
    report_run(store, run_id, end, NOW + 20_000)
    late = save_checkpoint(store, "run_none", token, FILES, at_server=True, now_ms=NOW)
    assert isinstance(late, Ignored)
    record = load_job(store, "job_1")
    assert record is not None
    assert record.state is JobState.PENDING
    return record


def test_the_planner_is_told_what_is_left_and_what_must_move(
    store: Store, network: Network
) -> None:
    record = paused(store, network)
    checkpoint = latest_checkpoints(store, ["job_1"])["job_1"]
    assert (checkpoint.site, checkpoint.size_bytes, checkpoint.sent_bytes) == ("basin", 4, 4)
    spec = resumed_spec(record, checkpoint, network)
    pool = network.pool("basin-west")
    speed = {one.name: one.relative_speed for one in network.accelerators}[pool.accelerator or ""]
    assert spec.duration_ms == 60_000 - round(20_000 * speed)
    assert spec.inputs == (InputData(site="basin", size_bytes=4),)
    assert resumed_spec(record, None, network) == record.job
    assert bound_to(record, checkpoint) is None
    pinned = replace(checkpoint, at_server=False)
    assert bound_to(record, pinned) == Aim(site="basin")
    assert bound_to(replace(record, aim=Aim(site="harbor")), pinned) == Aim(site="basin")
    assert bound_to(replace(record, aim=Aim(site="harbor")), checkpoint) == Aim(site="harbor")


def test_a_move_is_noted_once_and_paid(store: Store, network: Network) -> None:
    paused(store, network)
    assert isinstance(note_move(store, "run_none", 1, 4, NOW), Ignored)
    kept = kept_checkpoint(store, "job_1")
    assert kept is not None
    greet(store, "harbor")
    apply_event(store, "job_1", PauseRequested(kind="move", aim=Aim(site="harbor")), NOW)
    before = look(store, network)
    assert before.to_place == ()
    ((spec, aim),) = before.aimed
    part = before.towards(spec, aim)
    assert {pool.pool for pool in part.snapshot.pools if pool.status == "open"} == {"harbor-east"}
    assert part.to_place == (spec,)
    assert load_moves(store, "job_1") == ()
    record = load_job(store, "job_1")
    assert record is not None
    run = record.runs[0]
    move = CheckpointMove(
        run_id=run.run_id, from_site="harbor", to_site="basin", size_bytes=10**9, moved_ms=NOW
    )
    (paid,) = moved_checkpoint(network, (move,), run)
    assert (paid.size_bytes, paid.micros_per_gb) == (10**9, 20_000)
    assert moved_checkpoint(network, (replace(move, from_site="basin"),), run) == ()
    assert moved_checkpoint(network, (replace(move, run_id="another"),), run) == ()


def test_held_jobs_are_not_planned(store: Store, network: Network) -> None:
    submit(store, job("job_1", after=(After(job_id="job_0", name="first"),)), job("job_2"))
    greet(store, "basin", "harbor", "plateau")
    assert [one.job_id for one in look(store, network).to_place] == ["job_2"]


def dear_at(network: Network, pool: str) -> Network:
    """The same, with that pool's devices at a hundred times their price."""
    pools = tuple(
        replace(one, price_micros_per_device_hour=100 * (one.price_micros_per_device_hour or 0))
        if one.name == pool
        else one
        for one in network.pools
    )
    return replace(network, pools=pools)


def test_a_run_is_moved_when_its_place_has_become_dear(store: Store, network: Network) -> None:
    """Its pool's price rises a hundredfold; what is left is worth the way. Not without a
    checkpoint, not near its end, not for a gain below the hurdle."""
    submit(store, job("job_1", checkpoint=SAVES, duration_ms=3_600_000))
    submit(store, job("job_2", duration_ms=3_600_000))
    greet(store, "basin")
    plan_once(store, network)
    for record in load_active(store).records:
        run = record.live_run
        assert run is not None
        poll_site(store, run.site, 1, (), 10_000, NOW)
        report_run(store, run.run_id, RunStarted(run_id=run.run_id, token=run.token), NOW)
    later = NOW + 60_000
    greet(store, "basin", "harbor", "plateau", at_ms=later)
    policy = replace(POLICY, wait_value_micros_per_device_hour=0, checkpoint_gb_per_device=0.1)

    def moves(now: Network, least_left_ms: int = 60_000, **changes: int) -> list[Change]:
        before = look(store, now, later)
        return moves_that_pay(before, replace(policy, **changes), {}, least_left_ms)  # type: ignore[arg-type]

    dear = dear_at(network, "basin-west")
    (change,) = moves(dear)
    assert change.job_id == "job_1", "the other saves nothing"
    assert isinstance(change.event, PauseRequested)
    assert change.event.kind == "move"
    assert change.event.aim is not None
    assert change.event.aim.site != "basin"
    assert "less than here" in change.event.reason
    assert moves(dear, least_left_ms=3_600_000) == [], "hardly anything is left"
    assert moves(dear, move_hurdle_percent=100) == []
    assert moves(dear, checkpoint_gb_per_device=1_000_000) == [], "it is too much to carry"
    assert moves(dear_at(network, "harbor-east"), move_hurdle_percent=60) == []


def test_a_database_of_before_learns_the_names_of_its_jobs(tmp_path: Path) -> None:
    """One that was written by the first version, with a job whose request cannot be read."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text

    url = f"sqlite:///{tmp_path / 'old.db'}"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for name, spec in (
            ("job_1", codec.to_json(replace(job("job_1"), name="train"))),
            ("job_2", "{"),
        ):
            connection.execute(
                text(
                    "INSERT INTO jobs (job_id, body_digest, state, version, spec, attempts_max, "
                    "changed_ms, ending) VALUES (:name, 'd', 'pending', 1, :spec, 3, 0, '')"
                ),
                {"name": name, "spec": spec},
            )
    engine.dispose()
    opened = open_store(url)
    try:
        assert find_named(opened, "train") == ("job_1",)
        record = load_job(opened, "job_1")
        assert record is not None
        assert (record.holds, record.pause, record.aim) == ((), None, None)
    finally:
        opened.close()
